//! Servers that are found by name.

use bytes::Bytes;
use headwater_in_process::{InProcessServer, Names};
use headwater_rpc::{CallOptions, Client, Code, Metadata, Router, Server, ServerConfig, Status};

const WHO: &str = "/t.T/Who";

/// A running server that says who it is.
fn serve(transport: InProcessServer, who: &'static str) -> Server {
    let router = Router::new();
    router.unary(WHO, move |_| async move {
        Ok(Bytes::from_static(who.as_bytes()))
    });
    let server = Server::new(transport, router, ServerConfig::default());
    let serving = server.clone();
    tokio::spawn(async move { serving.serve().await });
    server
}

/// A client that runs.
fn client(names: &Names, name: &str) -> Client {
    let client = Client::new(names.client(name));
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    client
}

async fn who(client: &Client) -> Result<Bytes, Status> {
    let (metadata, options) = (Metadata::new(), CallOptions::default());
    client.unary(WHO, metadata, Bytes::new(), options).await
}

fn bind(names: &Names, name: &str) -> InProcessServer {
    names.bind(name).unwrap_or_else(|status| panic!("{status}"))
}

#[tokio::test]
async fn a_name_leads_to_its_server() {
    let names = Names::new();
    let _servers = [serve(bind(&names, "a"), "A"), serve(bind(&names, "b"), "B")];
    for (name, expected) in [("a", "A"), ("b", "B")] {
        let said = who(&client(&names, name)).await;
        assert_eq!(said.as_deref(), Ok(expected.as_bytes()), "{name}");
    }
    let elsewhere = client(&Names::new(), "a");
    let status = who(&elsewhere).await.expect_err("nobody is there");
    assert_eq!(status.code, Code::Unavailable, "these are other names");
}

#[tokio::test(start_paused = true)]
async fn a_client_may_come_first_and_outlives_its_server() {
    let names = Names::new();
    let client = client(&names, "a");
    let status = who(&client).await.expect_err("nobody is there");
    assert_eq!(status.code, Code::Unavailable, "{status}");

    let first = serve(bind(&names, "a"), "first");
    let taken = names.bind("a").err().expect("somebody has the name");
    assert_eq!(taken.code, Code::AlreadyExists, "{taken}");
    assert_eq!(who(&client).await.as_deref(), Ok(&b"first"[..]));

    first.begin_graceful_shutdown();
    let status = who(&client).await.expect_err("it stops");
    assert_eq!(status.code, Code::FailedPrecondition, "{status}");

    let second = bind(&names, "a");
    // The end of the first is not that of its successor.
    drop(first);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let _second = serve(second, "second");
    assert_eq!(who(&client).await.as_deref(), Ok(&b"second"[..]));
}
