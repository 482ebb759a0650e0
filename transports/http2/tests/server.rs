//! What else a server takes and gives: services of others, Unix sockets, several listeners, what it writes at once, and
//! what it tells of itself.

#[path = "hostile/frames.rs"]
#[allow(dead_code, reason = "the hostile peers need more of it")]
mod frames;

use std::{
    convert::Infallible,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use frames::{DATA, END_STREAM, HEADERS, Raw, block, frame, message, request};
use h2::client::SendRequest;
use headwater_http2::{Http2Server, Http2ServerConfig};
use headwater_rpc::{Metadata, Peer, Router, Server, ServerConfig, channel::Address};
use http::{Method, Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tonic::{body::Body, server::NamedService, transport::server::TcpConnectInfo};

const ECHO: &str = "/t.T/Echo";
/// Says who calls.
const WHO: &str = "/t.T/Who";
/// Sends a hundred messages in one turn.
const BURST: &str = "/t.T/Burst";

fn router() -> Router {
    let router = Router::new();
    router.unary(ECHO, |request| async { Ok(request.message) });
    router.stream(WHO, |call| async move {
        let said = format!("{} at {}", call.peer.remote(), call.peer.local());
        call.sender.send(said.into()).await.expect("open");
        call.sender.finish(Ok(()), Metadata::new()).expect("open");
    });
    router.stream(BURST, |call| async move {
        for _ in 0..100 {
            let message = Bytes::from_static(&[7; 20]);
            call.sender.try_send(message).expect("the window is larger");
        }
        call.sender.finish(Ok(()), Metadata::new()).expect("open");
    });
    router
}

async fn bind() -> Http2Server {
    let bound = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default()).await;
    bound.expect("a free port on loopback")
}

fn start(transport: Http2Server, router: Router) -> Server {
    let server = Server::new(transport, router, ServerConfig::default());
    let serving = server.clone();
    tokio::spawn(async move { serving.serve().await });
    server
}

async fn connect(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(io).await.expect("HTTP/2");
    tokio::spawn(connection);
    client
}

/// The first message of the answer, with its prefix.
async fn call(client: &SendRequest<Bytes>, path: &str) -> Bytes {
    let mut client = client.clone().ready().await.expect("the connection is up");
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://test{path}"))
        .header("content-type", "application/grpc")
        .body(())
        .expect("valid");
    let (response, mut body) = client.send_request(request, false).expect("accepted");
    body.send_data(message(b"x").into(), true).expect("open");
    let response = response.await.expect("an answer");
    assert_eq!(response.status(), 200, "{path}");
    let data = response.into_body().data().await;
    data.expect("a message").expect("no reset")
}

/// As tonic makes them: says how it was called.
#[derive(Clone)]
struct Mounted;

impl NamedService for Mounted {
    const NAME: &'static str = "m.Mounted";
}

impl tower::Service<Request<Body>> for Mounted {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().expect("it is said");
        let tcp = request.extensions().get::<TcpConnectInfo>();
        let remote = tcp.and_then(TcpConnectInfo::remote_addr);
        let remote = remote.expect("it is said").to_string();
        assert!(peer.remote().ends_with(&remote), "both are the client");
        let said = message(format!("mounted {}", request.uri().path()).as_bytes());
        let body = http_body_util::Full::new(Bytes::from(said));
        let response = Response::builder().header("content-type", "application/grpc");
        let response = response.body(Body::new(body)).expect("valid");
        std::future::ready(Ok(response))
    }
}

/// A service made for tonic beside the router, on one port and one connection.
#[tokio::test]
async fn services_of_others_are_mounted_beside_the_router() {
    let transport = bind().await.with_service(Mounted);
    let addr = transport.local_addr();
    start(transport, router());
    let client = connect(TcpStream::connect(addr).await.expect("it listens")).await;
    for path in ["/m.Mounted/One", "/m.Mounted/Two/More"] {
        let expected = message(format!("mounted {path}").as_bytes());
        assert_eq!(call(&client, path).await, expected);
    }
    assert_eq!(call(&client, ECHO).await, message(b"x"), "the router's");
}

/// S4-70: the address is known before the server serves, for each of several listeners of one router.
#[tokio::test]
async fn s4_70_several_listeners_share_one_router() {
    let router = router();
    let (one, other) = (bind().await, bind().await);
    let addrs = [one.local_addr(), other.local_addr()];
    assert_ne!(addrs[0], addrs[1]);
    assert_eq!(*one.local_address(), Address::Socket(addrs[0]));
    let one = start(one, router.clone());
    start(other, router.clone());
    let mut clients = Vec::new();
    for addr in addrs {
        assert_ne!(addr.port(), 0, "the system chose it");
        let stream = TcpStream::connect(addr).await.expect("it listens");
        let local = stream.local_addr().expect("connected");
        let client = connect(stream).await;
        let expected = message(format!("ipv4:{local} at ipv4:{addr}").as_bytes());
        assert_eq!(call(&client, WHO).await, expected);
        clients.push(client);
    }
    // What is registered now is there on both; what stops is one of them.
    router.unary("/t.T/Late", |request| async { Ok(request.message) });
    one.begin_graceful_shutdown();
    assert_eq!(call(&clients[1], "/t.T/Late").await, message(b"x"));
}

#[tokio::test]
async fn sizes_that_http_2_does_not_have_are_moved_to_the_nearest() {
    for size in [0, u32::MAX] {
        let config = Http2ServerConfig {
            frame_bytes_max: size,
            stream_window_bytes: size.max(100),
            connection_window_bytes: size,
            ..Http2ServerConfig::default()
        };
        let transport = Http2Server::bind("127.0.0.1:0", config).await;
        let transport = transport.expect("a free port on loopback");
        let addr = transport.local_addr();
        start(transport, router());
        let client = connect(TcpStream::connect(addr).await.expect("it listens")).await;
        assert_eq!(call(&client, ECHO).await, message(b"x"), "{size}");
    }
}

fn socket_path(test: &str) -> PathBuf {
    let name = format!("headwater-{test}-{}.sock", std::process::id());
    std::env::temp_dir().join(name)
}

#[tokio::test]
async fn a_unix_socket() {
    let path = socket_path("unix");
    let config = Http2ServerConfig::default();
    let stale = std::os::unix::net::UnixListener::bind(&path).expect("a free path");
    let taken = Http2Server::bind_unix(&path, config.clone()).await;
    let taken = taken.err().expect("somebody listens there").kind();
    assert_eq!(taken, io::ErrorKind::AddrInUse);
    drop(stale);
    assert!(path.exists(), "the system leaves it behind");
    let transport = Http2Server::bind_unix(&path, config.clone()).await;
    let transport = transport.expect("nobody listens there any more");
    assert_eq!(*transport.local_address(), Address::Unix(path.clone()));
    let server = start(transport, router());
    let client = connect(UnixStream::connect(&path).await.expect("it listens")).await;
    let expected = message(format!("unix: at unix:{}", path.display()).as_bytes());
    assert_eq!(call(&client, WHO).await, expected);

    server.begin_graceful_shutdown();
    while path.exists() {
        tokio::task::yield_now().await;
    }
    std::fs::write(&path, "no socket").expect("it can be written");
    let file = Http2Server::bind_unix(&path, config).await;
    assert!(file.is_err(), "a file is not removed");
    assert!(path.exists(), "a file is not removed");
    std::fs::remove_file(&path).expect("it is there");
}

/// S4-69: what a handler sends in one turn leaves as one DATA frame, with the headers before and the trailers behind.
#[tokio::test]
async fn s4_69_many_small_messages_are_one_frame() {
    let transport = bind().await;
    let addr = transport.local_addr();
    start(transport, router());
    let mut raw = Raw::client(addr).await;
    let mut open = block(0, 1, &request(BURST));
    open.extend(frame(DATA, END_STREAM, 1, &[]));
    raw.write(&open).await.expect("it is open");
    let mut seen = Vec::new();
    loop {
        let frame = raw.read().await.expect("the connection goes on");
        if frame.stream == 1 {
            seen.push((frame.kind, frame.payload.len()));
            if frame.flags & END_STREAM != 0 {
                break;
            }
        }
    }
    let kinds: Vec<_> = seen.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [HEADERS, DATA, HEADERS], "{seen:?}");
    assert_eq!(seen[1].1, 100 * (5 + 20), "all of them");
}

/// Where the events of a test go.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// S4-70: listener, connection and stream are told as they come and go, and no metadata is.
#[tokio::test]
async fn s4_70_events_of_listener_connection_and_stream() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("headwater_http2=debug")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let transport = bind().await;
    let (addr, counters) = (transport.local_addr(), transport.counters());
    let server = start(transport, router());
    let mut raw = Raw::client(addr).await;
    let mut headers = request("/t.T/None");
    headers.extend(frames::literal("authorization", "Bearer secret"));
    raw.write(&block(END_STREAM, 1, &headers))
        .await
        .expect("open");
    assert_eq!(raw.next(HEADERS).await.stream, 1);
    drop(raw);
    while counters.connections() > 0 || counters.streams() > 0 {
        tokio::task::yield_now().await;
    }
    server.begin_graceful_shutdown();
    let text = || String::from_utf8(log.0.lock().expect("no panic").clone()).expect("UTF-8");
    while !text().contains("no longer listening") {
        tokio::task::yield_now().await;
    }
    let text = text();
    let mut rest = &*text;
    for event in [
        format!("listening address=ipv4:{addr}"),
        "connection opened connection=1 peer=ipv4:127.0.0.1:".to_owned(),
        "stream opened connection=1 path=\"/t.T/None\"".to_owned(),
        "stream ended connection=1".to_owned(),
        "connection closed connection=1".to_owned(),
        format!("no longer listening address=ipv4:{addr}"),
    ] {
        let at = rest.find(&event);
        let at = at.unwrap_or_else(|| panic!("no {event:?}, or too early, in {text}"));
        rest = &rest[at + event.len()..];
    }
    assert!(!text.contains("secret"), "{text}");
}
