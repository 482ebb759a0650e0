//! Says everything ten times, half a second apart: zrpc's own first example.
//!
//! ```sh
//! cargo run --example echo -- --listen 127.0.0.1:8060
//! cargo run --example echo -- --call ws://127.0.0.1:8060/ --blob world
//! ```
//!
//! Any WebSocket will do as a client. This is one in Python, with `pip install websocket-client`:
//!
//! ```python
//! import struct, websocket
//! echo = websocket.create_connection("ws://127.0.0.1:8060/")
//! echo.send_binary(struct.pack("<I", 4) + b"echo" + b"world")
//! for reply in echo:
//!     print(reply)
//! ```

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::{ArgGroup, Parser, ValueEnum};
use headwater_rpc::{Client, Code, IncomingCall, Metadata, Router, Server, ServerConfig, Status};
use headwater_websocket::{
    Unnamed, WebSocketServer, WebSocketServerConfig, ZrpcConfig,
    zrpc::{self, Proxy, ZrpcClient, ZrpcClientConfig},
};

/// How often it is said.
const TIMES: usize = 10;
/// What lies between.
const PAUSE: Duration = Duration::from_millis(500);

/// Echoes a blob ten times over zrpc, or has one echoed.
///
/// Start a server in one terminal with --listen, and call it from another with --call.
#[derive(Debug, Parser)]
#[command(group = ArgGroup::new("role").args(["listen", "call"]).required(true))]
struct Arguments {
    /// Serves at this address; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// How the end of a call is told to clients without a subprotocol.
    #[arg(long, value_enum, default_value_t = Ending::Close)]
    ending: Ending,
    /// Calls the server at this URL, such as ws://127.0.0.1:8060/.
    #[arg(long, value_name = "URL")]
    call: Option<String>,
    /// What is echoed.
    #[arg(long, default_value = "world", conflicts_with = "listen")]
    blob: String,
}

/// Both ways of zrpc.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ending {
    /// A close frame.
    Close,
    /// The text CLOSE.
    Text,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.listen, arguments.call) {
        (Some(address), _) => serve(address, arguments.ending).await,
        (None, Some(url)) => call(&url, arguments.blob).await,
        // The arguments do not allow it.
        (None, None) => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => {
            eprintln!("error: {status}");
            ExitCode::FAILURE
        }
    }
}

/// `echo` in zrpc is `/zrpc/echo` on a router.
fn router() -> Router {
    let router = Router::new();
    router.stream("/zrpc/echo", async |mut call: IncomingCall| {
        let outcome = echo(&mut call).await;
        // A call that has ended already, because its client went away, needs no answer.
        let _ = call.sender.finish(outcome, Metadata::new());
    });
    router
}

async fn echo(call: &mut IncomingCall) -> Result<(), Status> {
    let mut requests = Vec::new();
    let came = call.receiver.next_batch(&mut requests).await;
    came.map_err(|error| error.status)?;
    let Some(blob) = requests.pop() else {
        return Err(Status::new(Code::InvalidArgument, "there is no blob"));
    };
    for _ in 0..TIMES {
        tokio::time::sleep(PAUSE).await;
        // It fails when the client has gone, or its time is over.
        let sent = call.sender.send(blob.clone()).await;
        sent.map_err(|error| Status::new(Code::Cancelled, error.to_string()))?;
    }
    Ok(())
}

/// Serves until Ctrl-C, and then until the calls that are open have ended.
async fn serve(address: SocketAddr, ending: Ending) -> Result<(), Status> {
    let mut config = WebSocketServerConfig {
        // Old clients name no subprotocol.
        unnamed: Unnamed::Zrpc,
        ..WebSocketServerConfig::default()
    };
    config.zrpc = ZrpcConfig {
        ending: match ending {
            Ending::Close => zrpc::Ending::CloseFrame,
            Ending::Text => zrpc::Ending::CloseText,
        },
        ..ZrpcConfig::default()
    };
    let bound = WebSocketServer::bind(address, config).await;
    let transport = bound.map_err(|error| {
        let message = format!("cannot listen at {address}: {error}");
        Status::new(Code::Unavailable, message)
    })?;
    println!("ready ws://{}/", transport.local_addr());
    let server = Server::new(transport, router(), ServerConfig::default());
    let stop = async {
        // Without signals it serves until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    server.serve_until(stop, None).await
}

async fn call(url: &str, blob: String) -> Result<(), Status> {
    let client = Client::new(ZrpcClient::new(url, &ZrpcClientConfig::default())?);
    let proxy = Proxy::new(client.clone());
    let print = async {
        let mut replies = proxy.call("echo", blob).await?;
        while let Some(reply) = replies.next().await {
            println!("{}", reply?.escape_ascii());
        }
        Ok(())
    };
    tokio::select! {
        // A client works while this runs.
        stopped = client.connect() => stopped,
        printed = print => printed,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use headwater_rpc::{Client, Server, ServerConfig};
    use headwater_websocket::zrpc::Proxy;
    use tokio::time::Instant;

    use super::{Arguments, PAUSE, router};

    /// S2-04: ten frames, half a second apart, by the virtual clock; and a proxy works over any transport.
    #[tokio::test(start_paused = true)]
    async fn s2_04_a_blob_comes_back_ten_times_half_a_second_apart() {
        let (client, server) = headwater_in_process::pair();
        let client = Client::new(client);
        let server = Server::new(server, router(), ServerConfig::default());
        let proxy = Proxy::new(client.clone());
        let calls = async {
            let start = Instant::now();
            let mut replies = proxy.call("echo", "world").await.expect("it starts");
            let mut came = Vec::new();
            while let Some(reply) = replies.next().await {
                came.push((reply.expect("it goes well"), start.elapsed()));
            }
            let expected = (1..=10).map(|number| ("world".into(), PAUSE * number));
            assert_eq!(came, expected.collect::<Vec<_>>());
        };
        tokio::select! {
            () = calls => {}
            stopped = client.connect() => panic!("the client stopped: {stopped:?}"),
            stopped = server.serve() => panic!("the server stopped: {stopped:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
