//! A URL chooses the transport: the same server and the same client on each of them.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use headwater_in_process::Names;
use headwater_rpc::{
    CallOptions, Client, Code, Metadata, Router, Server, ServerConfig, Status,
    tls::{ClientTls, DevCertificates, Pem},
};
use headwater_transports::{
    ClientOptions, Scheme, ServerOptions, Url, UrlError, UrlServer, client,
};

const PEER: &str = "/t.T/Peer";

/// What a server and its clients have in common.
struct Place {
    server: ServerOptions,
    client: ClientOptions,
}

impl Place {
    fn new() -> Self {
        let names = Names::new();
        let certificates = DevCertificates::generate().expect("they can be made");
        Self {
            server: ServerOptions {
                tls: Some(certificates.server()),
                in_process: names.clone(),
                ..ServerOptions::default()
            },
            client: ClientOptions {
                tls: certificates.client(),
                in_process: names,
                ..ClientOptions::default()
            },
        }
    }

    /// Serves at this URL; gives the one at which it can be called.
    async fn serve(&self, url: &str, router: &Router) -> String {
        let transport = UrlServer::bind(url, &self.server).await;
        let transport = transport.unwrap_or_else(|error| panic!("{url}: {error}"));
        let bound = transport.url().to_owned();
        let server = Server::new(transport, router.clone(), ServerConfig::default());
        tokio::spawn(async move { server.serve().await });
        bound
    }

    /// Asks the server at this URL where it sees the client.
    async fn ask(&self, url: &str) -> Result<String, Status> {
        let client = running(url, &self.client);
        let (metadata, options) = (Metadata::new(), CallOptions::default());
        let said = client.unary(PEER, metadata, Bytes::new(), options).await?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

fn running(url: &str, options: &ClientOptions) -> Client {
    let client = client(url, options).unwrap_or_else(|error| panic!("{url}: {error}"));
    let client = client.build();
    let connecting = client.clone();
    tokio::spawn(async move { connecting.connect().await });
    client
}

fn router() -> Router {
    let router = Router::new();
    router.unary(PEER, |request| async move {
        Ok(Bytes::copy_from_slice(request.peer.remote().as_bytes()))
    });
    router
}

/// A path for a socket that is gone with this.
struct Socket(PathBuf);

impl Socket {
    fn new(test: &str) -> Self {
        let name = format!("headwater-urls-{test}-{}.sock", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The server removes it as well.
        let _ = fs::remove_file(&self.0);
    }
}

/// U-10: one server, several listeners at once, and clients that differ in nothing but their URL.
#[tokio::test]
async fn u_10_one_server_listens_on_every_transport_at_once() {
    let (place, router) = (Place::new(), router());
    let socket = Socket::new("every");
    let unix = format!("unix:{}", socket.0.display());
    let listeners = [
        ("http://127.0.0.1:0", "ipv4:127.0.0.1:"),
        ("https://127.0.0.1:0", "ipv4:127.0.0.1:"),
        (&unix, "unix:"),
        ("h3://127.0.0.1:0", "ipv4:127.0.0.1:"),
        ("https+h3://127.0.0.1:0", "ipv4:127.0.0.1:"),
        ("grpc-web+http://127.0.0.1:0", "ipv4:127.0.0.1:"),
        ("grpc-web+https://127.0.0.1:0", "ipv4:127.0.0.1:"),
        ("ws://127.0.0.1:0", "ipv4:127.0.0.1:"),
        ("wss://127.0.0.1:0", "ipv4:127.0.0.1:"),
        ("inproc://server", "in-process:"),
    ];
    let mut bound = Vec::new();
    for (url, peer) in listeners {
        bound.push((place.serve(url, &router).await, peer));
    }
    for (url, peer) in bound {
        let said = place.ask(&url).await;
        let said = said.unwrap_or_else(|status| panic!("{url}: {status}"));
        assert!(said.starts_with(peer), "{url}: the server sees {said}");
    }
}

#[tokio::test]
async fn the_port_that_was_taken_is_told() {
    let place = Place::new();
    for scheme in [
        "http",
        "https",
        "h3",
        "https+h3",
        "ws",
        "wss",
        "grpc-web+http",
        "grpc-web+https",
    ] {
        for host in ["127.0.0.1", "localhost"] {
            let url = place
                .serve(&format!("{scheme}://{host}:0/"), &router())
                .await;
            let prefix = format!("{scheme}://127.0.0.1:");
            let port = url.strip_prefix(&prefix).and_then(|port| port.parse().ok());
            assert!(matches!(port, Some(1..=65535u32)), "{url}");
        }
    }
    let url = place.serve("inproc://a-name", &router()).await;
    assert_eq!(url, "inproc://a-name");
}

#[tokio::test]
async fn a_server_with_tls_needs_a_certificate_and_a_client_that_trusts_it() {
    let place = Place::new();
    let bare = ServerOptions::default();
    for scheme in Scheme::built().filter(|scheme| scheme.has_tls()) {
        let url = format!("{scheme}://127.0.0.1:0");
        let error = UrlServer::bind(&url, &bare).await;
        let error = error.expect_err("there is no certificate");
        assert_eq!(error, UrlError::NoCertificate(scheme));

        let url = place.serve(&url, &router()).await;
        let other = DevCertificates::generate().expect("they can be made");
        let strangers = Place {
            client: ClientOptions {
                tls: other.client(),
                ..ClientOptions::default()
            },
            ..Place::new()
        };
        let status = strangers.ask(&url).await.expect_err("it is not trusted");
        assert_eq!(status.code, Code::Unavailable, "{status}");
        // QUIC tells the reason in words of its own.
        let reasons = ["no authority that is trusted", "invalid peer certificate"];
        let told = reasons.iter().any(|why| status.message.contains(why));
        assert!(told, "{url}: {status}");
    }

    let url = "https://127.0.0.1:1";
    let unusable = ClientOptions {
        tls: ClientTls {
            roots: Some(Pem::Text(b"none".to_vec())),
            ..ClientTls::default()
        },
        ..ClientOptions::default()
    };
    let error = client(url, &unusable).expect_err("nobody is trusted");
    assert!(error.to_string().contains("no certificate"), "{error}");
    let plain = client("http://127.0.0.1:1", &unusable);
    assert!(plain.is_ok(), "without TLS nobody asks");
}

#[tokio::test]
async fn an_address_that_is_taken_is_said_to_be() {
    let place = Place::new();
    for scheme in [
        "http",
        "https",
        "h3",
        "https+h3",
        "ws",
        "wss",
        "grpc-web+http",
        "grpc-web+https",
        "inproc",
    ] {
        let url = place
            .serve(&format!("{scheme}://127.0.0.1:0"), &router())
            .await;
        let error = UrlServer::bind(&url, &place.server).await;
        let error = error.expect_err("somebody is there");
        assert!(matches!(error, UrlError::Transport(_)), "{url}: {error:?}");
    }
}

#[test]
fn urls_are_taken_apart() {
    for (text, scheme, rest) in [
        ("http://127.0.0.1:8081", Scheme::Http, "127.0.0.1:8081"),
        ("https://example.org/", Scheme::Https, "example.org"),
        ("http://[::1]:80", Scheme::Http, "[::1]:80"),
        ("unix:relative.sock", Scheme::Unix, "relative.sock"),
        ("unix:///run/app.sock", Scheme::Unix, "/run/app.sock"),
        ("inproc://chat", Scheme::InProcess, "chat"),
    ] {
        let url = Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((url.scheme(), url.rest()), (scheme, rest), "{text}");
        let again = Url::parse(&url.to_string());
        assert_eq!(again.as_ref(), Ok(&url), "{text}");
    }
    for text in [
        "",
        "127.0.0.1",
        "127.0.0.1:8081",
        "http:host",
        "http://",
        "http:///path",
        "http://h/path",
        "http://h?query",
        "http://a b",
        "http://ada:hush@host",
        "ada:hush@host",
        "unix:",
        "unix://host",
        "inproc://",
        "inproc://a/b",
    ] {
        let error = Url::parse(text).expect_err(text);
        assert!(matches!(error, UrlError::Malformed(_)), "{text}: {error:?}");
        assert!(
            !error.to_string().contains("hush"),
            "a password was shown: {error}"
        );
    }
}

#[test]
fn a_url_says_its_host_and_its_port() {
    for (text, host, port) in [
        ("http://127.0.0.1:8081", Some("127.0.0.1"), Some(8081)),
        ("http://example.org", Some("example.org"), Some(80)),
        ("https+h3://example.org/", Some("example.org"), Some(443)),
        ("h3://[::1]:0", Some("::1"), Some(0)),
        ("wss://[::1]", Some("::1"), Some(443)),
        ("http://example.org:http", Some("example.org"), None),
        ("http://example.org:65536", Some("example.org"), None),
        ("unix:relative.sock:80", None, None),
        ("inproc://chat:80", None, None),
    ] {
        let url = Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((url.host(), url.port()), (host, port), "{text}");
    }
}

#[test]
fn a_scheme_that_nobody_knows_is_answered_with_those_that_are_there() {
    let error = Url::parse("ftp://host").expect_err("there is no such transport");
    assert_eq!(error, UrlError::Unknown("ftp".to_owned()));
    let told = error.to_string();
    for scheme in Scheme::built() {
        assert!(told.contains(scheme.name()), "{scheme}: {told}");
    }
}

/// The features decide; and who meets a URL that the build does not know learns which one is missing.
#[test]
fn a_transport_that_is_not_built_names_its_feature() {
    for scheme in [
        "http",
        "https",
        "unix",
        "h3",
        "https+h3",
        "ws",
        "wss",
        "grpc-web+http",
        "grpc-web+https",
        "inproc",
    ] {
        match Url::parse(&format!("{scheme}:///x")).err() {
            Some(UrlError::NotBuilt(missing)) => {
                assert_eq!(missing.name(), scheme);
                assert!(!missing.is_built(), "{scheme}");
                let told = UrlError::NotBuilt(missing).to_string();
                let feature = format!("`{}`", missing.feature());
                assert!(told.contains(&feature), "{scheme}: {told}");
            }
            _ => assert!(
                Scheme::built().any(|built| built.name() == scheme),
                "{scheme}: neither built nor said to be missing"
            ),
        }
    }
}
