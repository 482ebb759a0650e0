//! Echoes WebSocket messages, on the acceptor and the codec of the client listener. No token, no subprotocol.
//!
//! ```sh
//! cargo run --example ws-echo -- --listen 127.0.0.1:9001
//! ```

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use clap::Parser;
use headwater_proto::websocket::{
    DecoderConfig, Incoming, encode_close, encode_message, encode_pong,
};
use headwater_websocket::{Handshake, Listener, ListenerConfig, ReadError, Socket};
use http::{Request, Response};
use http_body_util::Full;

/// How long a client may take to close its side after the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Echoes WebSocket messages.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// The longest message, in bytes.
    #[arg(long, default_value_t = 32 * 1024 * 1024)]
    message_bytes_max: usize,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let config = DecoderConfig {
        message_bytes_max: arguments.message_bytes_max,
    };
    let listener = Listener::bind(arguments.listen, ListenerConfig::default()).await?;
    println!("ready ws://{}/", listener.local_addr()?);
    let service = move |request, _peer| answer(request, config);
    listener.serve(service, std::future::pending()).await;
    Ok(())
}

/// Accepts every WebSocket, whatever its path.
#[allow(
    clippy::unused_async,
    reason = "a service may wait, for an application that decides for example"
)]
async fn answer(
    mut request: Request<hyper::body::Incoming>,
    config: DecoderConfig,
) -> Response<Full<Bytes>> {
    let handshake = match Handshake::check(&request) {
        Ok(handshake) => handshake,
        Err(rejection) => return rejection.response(),
    };
    let connection = async |socket| {
        if let Ok(socket) = socket {
            echo(socket).await;
        }
    };
    handshake
        .upgrade(&mut request, None, config, connection)
        .expect("to choose no subprotocol is always possible")
}

/// Sends back what comes until one side closes. The next turn is read when this one is written, so a client that does
/// not read what it gets is not read from either, and only one turn is ever held.
async fn echo(Socket { mut reader, writer }: Socket) {
    let mut turn = Vec::new();
    loop {
        let mut out = Vec::new();
        let read = reader.read_turn(&mut turn).await;
        let mut over = read.is_err();
        match read {
            Ok(()) => {}
            Err(ReadError::Violation(violation)) => {
                encode_close(violation.close_code, violation.reason, &mut out);
            }
            // The client has gone without a word.
            Err(_) => return,
        }
        for incoming in turn.drain(..) {
            over |= matches!(incoming, Incoming::Close { .. });
            reply(&incoming, &mut out);
        }
        if writer.write_all(&out).await.is_err() {
            return;
        }
        if over {
            break;
        }
    }
    writer.finish();
    // Closing with unread bytes would reset the connection before the client has seen the close frame.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, reader.drain()).await;
}

/// Appends what answers `incoming`.
fn reply(incoming: &Incoming, out: &mut Vec<u8>) {
    match incoming {
        Incoming::Message { kind, data } => encode_message(*kind, data, out),
        Incoming::Ping(payload) => encode_pong(payload, out),
        Incoming::Close { code, reason } => encode_close(code.unwrap_or(1000), reason, out),
        Incoming::Pong(_) => {}
    }
}
