//! `serve --tls-cert --tls-key --tls-client-ca`: who is let in over each transport with TLS.

use std::time::Duration;

use bytes::Bytes;
use headwater_rpc::{
    CallOptions, Code, Metadata, Status,
    tls::{ClientIdentity, ClientTls},
};
use headwater_transports::{ClientOptions, client};
use headwater_upstream::{Handler, Upstream, UpstreamConfig};

use super::process::{Authority, Folder, Service};

/// What an upstream without a token may not ask.
const QUESTION: &str = "/headwater.v1.Management/UserExists";
/// Beyond this a case hangs.
const HANG: Duration = Duration::from_secs(20);

struct Application;

impl Handler for Application {}

/// Calls the service, without a token.
async fn ask(url: &str, tls: ClientTls) -> Status {
    let options = ClientOptions {
        tls,
        ..ClientOptions::default()
    };
    let client = client(url, &options).expect("valid").build();
    let connecting = client.clone();
    tokio::spawn(async move { connecting.connect().await });
    let call = client.unary(
        QUESTION,
        Metadata::new(),
        Bytes::new(),
        CallOptions::default(),
    );
    let answer = tokio::time::timeout(HANG, call).await;
    let answer = answer.unwrap_or_else(|_| panic!("{url}: the call hangs"));
    answer.expect_err("there is no token")
}

async fn registers(url: &str, service: &Service, tls: ClientTls) -> bool {
    let config = UpstreamConfig {
        url: url.to_owned(),
        tls,
        hub: "chat".to_owned(),
        connection_string: Some(service.connection_string().parse().expect("valid")),
        ..UpstreamConfig::default()
    };
    let upstream = Upstream::new(config, Application).expect("valid");
    let hub = upstream.hub();
    tokio::spawn(upstream.run());
    let registered = tokio::time::timeout(HANG, hub.registered()).await;
    registered.unwrap_or_else(|_| panic!("{url}: it does not register"))
}

/// S1-30: an upstream has to have a certificate of the authority, and its token beside it.
#[tokio::test]
async fn s1_30_an_upstream_needs_a_certificate_where_the_service_asks_for_one() {
    let (servers, upstreams, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let folder = Folder::new("mtls");
    let own = servers.sign("127.0.0.1");
    let service = Service::start(&[
        "serve",
        "--listen-clients=127.0.0.1:0",
        "--listen-upstream=https://127.0.0.1:0",
        "--listen-upstream=h3://127.0.0.1:0",
        "--listen-upstream=https+h3://127.0.0.1:0",
        "--listen-upstream=wss://127.0.0.1:0",
        &format!("--tls-cert={}", folder.write("cert.pem", &own.certificates)),
        &format!("--tls-key={}", folder.write("key.pem", &own.key)),
        &format!(
            "--tls-client-ca={}",
            folder.write("ca.pem", &upstreams.pem())
        ),
    ]);
    let tls = |identity: Option<ClientIdentity>| ClientTls {
        roots: Some(servers.pem()),
        identity,
        ..ClientTls::default()
    };
    let urls = service.upstreams();
    assert_eq!(urls.len(), 4, "{:?}", service.printed);
    for url in &urls {
        for stranger in [None, Some(strangers.sign("upstream"))] {
            let who = if stranger.is_some() {
                "another's"
            } else {
                "no"
            };
            let status = ask(url, tls(stranger)).await;
            // In which words depends on who notices first; that it is the certificate shows in what comes next.
            assert_eq!(
                status.code,
                Code::Unavailable,
                "{url}, {who} certificate: {status}"
            );
        }
        let known = || tls(Some(upstreams.sign("upstream")));
        let status = ask(url, known()).await;
        assert_eq!(
            status.code,
            Code::Unauthenticated,
            "{url}: let in, and without a token: {status}"
        );
        assert!(registers(url, &service, known()).await, "{url}");
    }
}

/// Without `--tls-client-ca` nobody is asked.
#[tokio::test]
async fn an_upstream_needs_no_certificate_where_nobody_asks() {
    let servers = Authority::new();
    let folder = Folder::new("tls");
    let own = servers.sign("127.0.0.1");
    let service = Service::start(&[
        "serve",
        "--listen-clients=127.0.0.1:0",
        "--listen-upstream=https://127.0.0.1:0",
        "--listen-upstream=h3://127.0.0.1:0",
        "--listen-upstream=wss://127.0.0.1:0",
        &format!("--tls-cert={}", folder.write("cert.pem", &own.certificates)),
        &format!("--tls-key={}", folder.write("key.pem", &own.key)),
    ]);
    let urls = service.upstreams();
    assert_eq!(urls.len(), 3, "{urls:?}");
    for url in &urls {
        let tls = ClientTls {
            roots: Some(servers.pem()),
            ..ClientTls::default()
        };
        assert!(registers(url, &service, tls).await, "{url}");
    }
}
