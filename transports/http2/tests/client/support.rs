//! A connection under test, and the server at its other end.

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use headwater_http2::{Http2ClientConfig, Http2Connector};
use headwater_rpc::{
    CallOptions, Client, ClientTransport, Closed, Inbound, Metadata, Outbound, Received,
    RequestHeaders, RetryConfig, Status,
    channel::{Address, Connection, Connector},
};
use http::{HeaderMap, Request, Response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// Beyond this a case hangs.
const HANG: Duration = Duration::from_secs(20);

/// Waits no longer than a test may hang.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let bound = tokio::time::timeout(HANG, future).await;
    bound.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A transport over one connection, which tells how far the calls came that broke.
struct Probe {
    connection: Arc<dyn Connection>,
    breaks: mpsc::UnboundedSender<Closed>,
}

#[async_trait]
impl ClientTransport for Probe {
    async fn connect(&self) -> Result<(), Status> {
        std::future::pending().await
    }

    fn begin_graceful_shutdown(&self) {
        self.connection.begin_graceful_shutdown();
    }

    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        let opened = self.connection.open(headers, outbound).await;
        let inbound = opened.map_err(|unopened| unopened.status)?;
        let breaks = self.breaks.clone();
        Ok(Box::new(Watched { inbound, breaks }))
    }
}

struct Watched {
    inbound: Box<dyn Inbound>,
    breaks: mpsc::UnboundedSender<Closed>,
}

impl Inbound for Watched {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let polled = self.inbound.poll_received(cx, received);
        if let Poll::Ready(Err(closed)) = &polled {
            // A test that does not ask has dropped the other end.
            let _ = self.breaks.send(closed.clone());
        }
        polled
    }
}

/// A stream as the server has it.
pub(crate) struct Stream {
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
}

impl Stream {
    /// Answers with one message and OK.
    pub(crate) fn answer(mut self) {
        let mut body = self.respond.send_response(headers(), false).expect("open");
        body.send_data(message(), false).expect("open");
        body.send_trailers(trailers("0")).expect("open");
    }

    /// Waits until the client resets it.
    pub(crate) async fn reset(&mut self) -> Reason {
        let reset = std::future::poll_fn(|cx| self.respond.poll_reset(cx));
        soon("a reset", reset).await.expect("the connection is up")
    }
}

pub(crate) fn headers() -> Response<()> {
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(()).expect("valid")
}

pub(crate) fn message() -> Bytes {
    Bytes::from_static(&[0, 0, 0, 0, 1, 1])
}

pub(crate) fn trailers(status: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().expect("valid"));
    trailers
}

/// What a server's connection is told.
pub(crate) enum Command {
    /// Send GOAWAY, and go on with what is open.
    GoAway,
    /// Be gone.
    Break,
}

/// One connection, from the server's side.
pub(crate) struct Server {
    streams: mpsc::UnboundedReceiver<Stream>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Server {
    /// The next stream.
    pub(crate) async fn stream(&mut self) -> Stream {
        let stream = soon("a stream", self.streams.recv()).await;
        stream.expect("the connection is up")
    }

    /// Whether no stream waits to be taken.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.streams.try_recv().is_err()
    }

    pub(crate) fn command(&self, command: Command) {
        self.commands.send(command).expect("the connection is up");
    }
}

async fn run(
    stream: TcpStream,
    builder: h2::server::Builder,
    streams: mpsc::UnboundedSender<Stream>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let handshake = builder.handshake::<_, Bytes>(stream).await;
    let mut connection = handshake.expect("the client speaks HTTP/2");
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    // A test that ends early takes no more.
                    let _ = streams.send(Stream { request, respond });
                }
                Some(Err(_)) | None => return,
            },
            command = commands.recv() => match command {
                Some(Command::GoAway) => connection.graceful_shutdown(),
                Some(Command::Break) | None => return,
            },
        }
    }
}

/// A client over one connection, and all that can be seen of it.
pub(crate) struct Pair {
    pub(crate) client: Client,
    pub(crate) connection: Arc<dyn Connection>,
    pub(crate) breaks: mpsc::UnboundedReceiver<Closed>,
    pub(crate) server: Server,
}

impl Pair {
    pub(crate) async fn new() -> Self {
        Self::with(h2::server::Builder::new(), &Http2ClientConfig::default()).await
    }

    pub(crate) async fn with(builder: h2::server::Builder, config: &Http2ClientConfig) -> Self {
        let (listener, address) = listen().await;
        let (streams, taken) = mpsc::unbounded_channel();
        let (commands, commanded) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            run(stream, builder, streams, commanded).await;
        });
        let connection: Arc<dyn Connection> = connect(address, config).await.into();
        let (client, breaks) = client_of(&connection);
        Self {
            client,
            connection,
            breaks,
            server: Server {
                streams: taken,
                commands,
            },
        }
    }

    /// A unary call in a task of its own.
    pub(crate) fn unary(&self) -> tokio::task::JoinHandle<Result<Bytes, Status>> {
        let client = self.client.clone();
        tokio::spawn(async move {
            let options = CallOptions::default();
            let request = Bytes::from_static(b"hi");
            client
                .unary("/t.T/X", Metadata::new(), request, options)
                .await
        })
    }

    /// How the next call broke.
    pub(crate) async fn broke(&mut self) -> Closed {
        let closed = soon("a call that breaks", self.breaks.recv()).await;
        closed.expect("the transport is there")
    }
}

pub(crate) async fn connect(
    address: SocketAddr,
    config: &Http2ClientConfig,
) -> Box<dyn Connection> {
    let connector = Http2Connector::new(&address.to_string(), config).expect("valid");
    let connected = connector.connect(&Address::Socket(address)).await;
    connected.unwrap_or_else(|status| panic!("{status}"))
}

/// A client that runs over this connection.
pub(crate) fn client_of(
    connection: &Arc<dyn Connection>,
) -> (Client, mpsc::UnboundedReceiver<Closed>) {
    let (breaks, broken) = mpsc::unbounded_channel();
    let connection = Arc::clone(connection);
    let client = Client::new(Probe { connection, breaks });
    // One stream is looked at, and not what the call comes to on the next one.
    client.set_retry_config(RetryConfig {
        call_buffer_bytes_max: 0,
        ..RetryConfig::default()
    });
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    (client, broken)
}

const PREFACE_BYTES: usize = 24;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const ACK: u8 = 1;

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// A server's end that writes frames by hand, and answers only what it is told to.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut raw = Self(stream);
        let preface = raw.0.read_exact(&mut [0; PREFACE_BYTES]).await;
        preface.expect("the client speaks HTTP/2");
        raw.write(SETTINGS, 0, &[]).await;
        raw
    }

    /// Writes a frame of the connection.
    pub(crate) async fn write(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).expect("a short frame");
        let head = [0, 0, length, kind, flags, 0, 0, 0, 0];
        let frame = [&head, payload].concat();
        self.0.write_all(&frame).await.expect("it is open");
    }

    /// The payload of the next frame of this kind that is no answer; `None` once the client has hung up.
    pub(crate) async fn next(&mut self, kind: u8) -> Option<Vec<u8>> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            let answer = kind == PING && head[4] & ACK != 0;
            if head[3] == kind && !answer {
                return Some(payload);
            }
        }
    }

    /// The next PING.
    pub(crate) async fn ping(&mut self) -> Option<Vec<u8>> {
        self.next(PING).await
    }
}
