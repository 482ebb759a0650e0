//! What a server announces of HTTP/3, as a client that is not ours reads it.

use bytes::Bytes;
use headwater_http2::{Http2Server, Http2ServerConfig};
use headwater_rpc::{Router, Server, ServerConfig, http::AltSvc};
use http::Request;
use tokio::net::TcpStream;

/// The `alt-svc` of the answers to a call that is served, one that nobody serves, and one that is none.
async fn announced(alt_svc: Option<AltSvc>) -> Vec<Option<String>> {
    let config = Http2ServerConfig {
        alt_svc,
        ..Http2ServerConfig::default()
    };
    let transport = Http2Server::bind("127.0.0.1:0", config).await;
    let transport = transport.expect("a free port on loopback");
    let stream = TcpStream::connect(transport.local_addr()).await;
    let router = Router::new();
    router.unary("/t.T/Echo", |request| async { Ok(request.message) });
    let server = Server::new(transport, router, ServerConfig::default());
    tokio::spawn(async move { server.serve().await });

    let (mut client, connection) = h2::client::handshake(stream.expect("it listens"))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let mut found = Vec::new();
    for (path, kind) in [
        ("/t.T/Echo", "application/grpc"),
        ("/t.T/Nobody", "application/grpc"),
        ("/t.T/Echo", "text/plain"),
    ] {
        client = client.ready().await.expect("the connection is up");
        let request = Request::post(format!("http://test{path}"))
            .header("content-type", kind)
            .body(())
            .expect("valid");
        let (response, mut body) = client.send_request(request, false).expect("accepted");
        body.send_data(Bytes::from_static(&[0; 5]), true)
            .expect("open");
        let response = response.await.expect("an answer");
        let value = response.headers().get("alt-svc");
        found.push(value.map(|value| value.to_str().expect("text").to_owned()));
    }
    found
}

#[tokio::test]
async fn s4_85_every_answer_announces_http3_if_it_is_to() {
    let expected = Some(r#"h3=":8443"; ma=86400"#.to_owned());
    assert_eq!(
        announced(Some(AltSvc::new(8443))).await,
        [(); 3].map(|()| expected.clone())
    );
    assert_eq!(announced(None).await, [None, None, None]);
}
