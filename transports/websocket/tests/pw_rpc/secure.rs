//! The same with TLS (`wss://`).

use bytes::Bytes;
use headwater_proto::{Code, Metadata};
use headwater_rpc::{
    CallOptions, Server, ServerConfig,
    tls::{ClientTls, DevCertificates},
};
use headwater_websocket::{WebSocketClientConfig, WebSocketServer, WebSocketServerConfig};

use crate::support::{FLOOD, Good, router, within};

async fn serve(certificates: &DevCertificates) -> String {
    let transport = WebSocketServer::bind("127.0.0.1:0", WebSocketServerConfig::default()).await;
    let transport = transport.expect("a free port on loopback");
    let transport = transport
        .with_tls(certificates.server())
        .expect("good certificates");
    let url = format!("wss://{}", transport.local_addr());
    let server = Server::new(transport, router(), ServerConfig::default());
    tokio::spawn(async move { server.serve().await });
    url
}

fn trusting(tls: ClientTls) -> WebSocketClientConfig {
    WebSocketClientConfig {
        tls: Some(tls),
        ..WebSocketClientConfig::default()
    }
}

#[tokio::test]
async fn calls_go_over_tls() {
    let certificates = DevCertificates::generate().expect("they can be made");
    let url = serve(&certificates).await;
    let good = Good::with(&url, trusting(certificates.client()));
    good.is_served("over tls").await;
    // Much, and in both directions: more than TLS or the system hold at a time.
    let large = Bytes::from(vec![7; 3 << 20]);
    let options = CallOptions::default();
    let call = good.0.unary(
        crate::support::ECHO,
        Metadata::new(),
        large.clone(),
        options,
    );
    assert_eq!(within("a large echo", call).await, Ok(large));
}

#[tokio::test]
async fn a_reader_that_stops_over_tls_holds_back_only_itself() {
    let certificates = DevCertificates::generate().expect("they can be made");
    let url = serve(&certificates).await;
    let good = Good::with(&url, trusting(certificates.client()));
    let call = good
        .0
        .call(FLOOD, Metadata::new(), CallOptions::default())
        .await;
    let (sender, mut receiver) = call.expect("it opens");
    for _ in 0..20 {
        good.is_served("beside a call that is not read").await;
    }
    let mut batch = Vec::new();
    while batch.len() < 1000 {
        let more = within("more", receiver.next_batch(&mut batch)).await;
        assert!(more.is_ok(), "{more:?}");
    }
    drop((sender, receiver));
    good.is_served("after the flood").await;
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_not_called() {
    let certificates = DevCertificates::generate().expect("they can be made");
    let url = serve(&certificates).await;
    let other = DevCertificates::generate().expect("they can be made");
    let good = Good::with(&url, trusting(other.client()));
    let answer = good.call().await.map_err(|status| status.code);
    assert_eq!(answer, Err(Code::Unavailable));
}

#[tokio::test]
async fn a_client_without_tls_gets_nothing_from_a_server_with_it() {
    let certificates = DevCertificates::generate().expect("they can be made");
    let url = serve(&certificates).await.replace("wss", "ws");
    let good = Good::with(&url, WebSocketClientConfig::default());
    let answer = good.call().await.map_err(|status| status.code);
    assert_eq!(answer, Err(Code::Unavailable));
}
