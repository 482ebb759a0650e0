//! `https+h3://`: HTTP/3 where it gets through, and HTTP/2 where it does not. The two servers of a test answer differently.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use headwater_rpc::{
    CallOptions, Client, Code, Metadata, Receiver, Router, Sender, Server, ServerConfig, Status,
    http::AltSvc, tls::DevCertificates,
};
use headwater_transports::{ClientOptions, ServerOptions, UrlError, UrlServer, client};
use tokio::net::UdpSocket;

const WHICH: &str = "/t.T/Which";
/// Answers every message with the same.
const ECHO: &str = "/t.T/Echo";
/// For what never comes up.
const SHORT: Duration = Duration::from_millis(300);
/// For what does, on a machine however busy.
const LONG: Duration = Duration::from_secs(20);

struct Place {
    server: ServerOptions,
    client: ClientOptions,
}

impl Place {
    fn new(patience: Duration) -> Self {
        let certificates = DevCertificates::generate().expect("the system has randomness");
        let mut client = ClientOptions {
            tls: certificates.client(),
            ..ClientOptions::default()
        };
        client.fallback.patience = patience;
        Self {
            server: ServerOptions {
                tls: Some(certificates.server()),
                ..ServerOptions::default()
            },
            client,
        }
    }

    /// Serves at this URL by what answers with `name`; gives the port.
    async fn serve(&self, url: &str, name: &'static str) -> u16 {
        let served = self.try_serve(url, name).await;
        served.unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// Serves HTTP/2 at this port too, unless somebody has it: it was chosen for UDP alone.
    async fn has_http2_beside(&self, port: u16) -> bool {
        let url = format!("https://127.0.0.1:{port}");
        self.try_serve(&url, "HTTP/2").await.is_ok()
    }

    /// Takes a port of UDP, and whatever comes there, and serves HTTP/2 beside it.
    async fn http2_and_hole(&self) -> (UdpSocket, u16) {
        loop {
            let (hole, port) = hole().await;
            if self.has_http2_beside(port).await {
                return (hole, port);
            }
        }
    }

    async fn try_serve(&self, url: &str, name: &'static str) -> Result<u16, UrlError> {
        let transport = UrlServer::bind(url, &self.server).await?;
        let (_, port) = transport.url().rsplit_once(':').expect("a port");
        let port = port.parse().expect("a port is a number");
        let router = Router::new();
        router.unary(WHICH, move |_| async move { Ok(name.into()) });
        router.stream(ECHO, |mut call| async move {
            let mut batch = Vec::new();
            while call
                .receiver
                .next_batch(&mut batch)
                .await
                .is_ok_and(|count| count > 0)
            {
                for message in batch.drain(..) {
                    call.sender.send(message).await.expect("open");
                }
            }
            let _ = call.sender.finish(Ok(()), Metadata::new());
        });
        let server = Server::new(transport, router, ServerConfig::default());
        tokio::spawn(async move { server.serve().await });
        Ok(port)
    }

    fn client(&self, scheme: &str, port: u16) -> Client {
        let url = format!("{scheme}://127.0.0.1:{port}");
        let client = client(&url, &self.client);
        let client = client
            .unwrap_or_else(|error| panic!("{url}: {error}"))
            .build();
        let connecting = client.clone();
        tokio::spawn(async move { connecting.connect().await });
        client
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(LONG, future).await;
    done.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

async fn which(client: &Client) -> Result<Bytes, Status> {
    let call = client.unary(WHICH, Metadata::new(), Bytes::new(), CallOptions::default());
    soon("an answer", call).await
}

/// Calls until this one answers.
async fn until(client: &Client, name: &'static str) {
    let answered = async {
        while which(client).await.expect("an answer") != name {
            tokio::task::yield_now().await;
        }
    };
    soon(name, answered).await;
}

/// Takes the first port of UDP that is free, and whatever comes there.
async fn hole() -> (UdpSocket, u16) {
    let hole = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let port = hole.local_addr().expect("it is bound").port();
    (hole, port)
}

#[tokio::test]
async fn s4_85_where_udp_gets_through_http3_is_spoken() {
    let place = Place::new(LONG);
    let port = loop {
        let port = place.serve("h3://127.0.0.1:0", "HTTP/3").await;
        if place.has_http2_beside(port).await {
            break port;
        }
    };
    let client = place.client("https+h3", port);
    assert_eq!(which(&client).await.expect("an answer"), "HTTP/3");
}

#[tokio::test]
async fn s4_85_where_udp_is_blocked_http2_is_spoken() {
    let place = Place::new(SHORT);
    let (_hole, port) = place.http2_and_hole().await;
    let client = place.client("https+h3", port);
    assert_eq!(which(&client).await.expect("an answer"), "HTTP/2");
}

/// S4-85: what began by HTTP/2 goes on by HTTP/3, as soon as a server says where that is.
#[tokio::test]
async fn s4_85_new_calls_move_to_the_http3_that_is_announced() {
    let mut place = Place::new(SHORT);
    let elsewhere = place.serve("h3://127.0.0.1:0", "HTTP/3").await;
    place.server.http2.alt_svc = Some(AltSvc::new(elsewhere));
    let (_hole, port) = place.http2_and_hole().await;

    let client = place.client("https+h3", port);
    let (sender, mut receiver) = soon("a stream", open(&client)).await;
    assert_eq!(echo(&sender, &mut receiver, "before").await, "before");
    until(&client, "HTTP/3").await;
    for _ in 0..10 {
        assert_eq!(which(&client).await.expect("an answer"), "HTTP/3");
    }
    let after = echo(&sender, &mut receiver, "after").await;
    assert_eq!(after, "after", "an open call ends where it is");
}

/// S4-85: what is announced and does not work costs no call anything.
#[tokio::test]
async fn s4_85_what_is_announced_and_blocked_is_not_spoken() {
    let mut place = Place::new(SHORT);
    let (_other, elsewhere) = hole().await;
    place.server.http2.alt_svc = Some(AltSvc::new(elsewhere));
    let (_hole, port) = place.http2_and_hole().await;
    let client = place.client("https+h3", port);
    for _ in 0..10 {
        assert_eq!(which(&client).await.expect("an answer"), "HTTP/2");
    }
}

/// S4-85: a server that speaks both does so on one port.
#[tokio::test]
async fn s4_85_one_url_serves_both() {
    let place = Place::new(LONG);
    let port = place.serve("https+h3://127.0.0.1:0", "both").await;
    for scheme in ["https+h3", "https", "h3"] {
        let client = place.client(scheme, port);
        assert_eq!(which(&client).await.expect(scheme), "both", "{scheme}");
    }
    let taken = UrlServer::bind(&format!("https+h3://127.0.0.1:{port}"), &place.server).await;
    assert!(matches!(taken, Err(UrlError::Transport(_))), "{taken:?}");
}

/// S4-85: a server that is away is away by both, and the error says so.
#[tokio::test]
async fn s4_85_a_server_that_is_away_is_away_by_both() {
    let place = Place::new(SHORT);
    let (_hole, port) = hole().await;
    let client = place.client("https+h3", port);
    let status = which(&client).await.expect_err("nobody is there");
    assert_eq!(status.code, Code::Unavailable);
    assert!(status.message.contains("300ms"), "{status}");
}

async fn open(client: &Client) -> (Sender, Receiver) {
    let opened = client.call(ECHO, Metadata::new(), CallOptions::default());
    opened.await.expect("a stream")
}

async fn echo(sender: &Sender, receiver: &mut Receiver, text: &'static str) -> Bytes {
    sender.send(text.into()).await.expect("open");
    let mut batch = Vec::new();
    let answer = soon("the echo", receiver.next_batch(&mut batch)).await;
    answer.expect("no error");
    batch.remove(0)
}
