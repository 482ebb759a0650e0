//! The server that is attacked, and a client that means no harm.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use headwater_http2::{
    Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig, ServerCounters,
};
use headwater_rpc::{CallOptions, Client, Metadata, Router, Server, ServerConfig, Status};
use tokio::{net::TcpStream, sync::Semaphore, task::yield_now};

use crate::frames::{DATA, END_STREAM, RST_STREAM, Raw, block, frame, message, request};

/// Answers with what it got.
pub(crate) const ECHO: &str = "/t.T/Echo";
/// Never ends by itself, and reads nothing.
pub(crate) const WAIT: &str = "/t.T/Wait";
/// As that, and does not notice that it was cancelled.
pub(crate) const DEAF: &str = "/t.T/Deaf";
/// Sends 16 KiB again and again.
pub(crate) const FLOOD: &str = "/t.T/Flood";
/// Nobody answers it.
pub(crate) const NONE: &str = "/t.T/None";

/// Beyond this a case hangs.
pub(crate) const HANG: Duration = Duration::from_secs(20);

/// A server, and a good client that is connected to it.
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    pub(crate) server: Server,
    pub(crate) counters: ServerCounters,
    pub(crate) good: Good,
    /// How many handlers of `DEAF` run.
    pub(crate) deaf: Arc<AtomicUsize>,
    /// They end when it is closed.
    pub(crate) deaf_end: Arc<Semaphore>,
}

impl Target {
    pub(crate) async fn start() -> Self {
        Self::with(Http2ServerConfig::default()).await
    }

    pub(crate) async fn with(config: Http2ServerConfig) -> Self {
        let router = Router::new();
        router.unary(ECHO, |request| async { Ok(request.message) });
        router.stream(WAIT, |call| async move {
            // All of it, or the closure drops the halves that are not named here.
            let call = call;
            call.cancellation.cancelled().await;
        });
        let (deaf, deaf_end) = (Arc::<AtomicUsize>::default(), Arc::new(Semaphore::new(0)));
        let (running, ending) = (Arc::clone(&deaf), Arc::clone(&deaf_end));
        router.stream(DEAF, move |call| {
            let (running, ending) = (Arc::clone(&running), Arc::clone(&ending));
            async move {
                let _call = call;
                running.fetch_add(1, Ordering::SeqCst);
                let _ = ending.acquire().await;
                running.fetch_sub(1, Ordering::SeqCst);
            }
        });
        router.stream(FLOOD, |call| async move {
            let chunk = Bytes::from(vec![0; 16 << 10]);
            while call.sender.send(chunk.clone()).await.is_ok() {}
        });
        let transport = Http2Server::bind("127.0.0.1:0", config).await;
        let transport = transport.expect("a free port on loopback");
        let (addr, counters) = (transport.local_addr(), transport.counters());
        let server = Server::new(transport, router, ServerConfig::default());
        let serving = server.clone();
        tokio::spawn(async move { serving.serve().await });
        let good = Good::new(addr);
        good.is_served("at first").await;
        Self {
            addr,
            server,
            counters,
            good,
            deaf,
            deaf_end,
        }
    }

    pub(crate) async fn raw(&self) -> Raw {
        Raw::client(self.addr).await
    }

    /// A client that speaks HTTP/2 as it should.
    pub(crate) async fn h2(&self) -> h2::client::SendRequest<Bytes> {
        let stream = TcpStream::connect(self.addr).await.expect("it listens");
        let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        client
    }

    /// The good client is served, and of all others nothing is left.
    pub(crate) async fn is_as_before(&self, after: &str) {
        self.good.is_served(after).await;
        let left = || {
            let counters = &self.counters;
            let calls = self.server.open_calls();
            (counters.connections(), counters.streams(), calls)
        };
        eventually(
            || left() == (1, 0, 0),
            || {
                format!(
                    "after {after}, (connections, streams, calls) are {:?}",
                    left()
                )
            },
        )
        .await;
    }
}

/// Waits for what has to come.
pub(crate) async fn eventually(holds: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let waiting = async {
        while !holds() {
            yield_now().await;
        }
    };
    let waited = tokio::time::timeout(HANG, waiting).await;
    assert!(waited.is_ok(), "{}", otherwise());
}

/// A client that means no harm, on a connection of its own.
pub(crate) struct Good(Client);

impl Good {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let mut config = Http2ClientConfig::default();
        // A call that waits for a connection does not wait long.
        config.channel.balancer.back_off.initial = Duration::from_millis(10);
        config.channel.balancer.back_off.max = Duration::from_millis(10);
        let transport = Http2Client::new(&format!("http://{addr}"), &config);
        let client = Client::new(transport.expect("a valid url"));
        let running = client.clone();
        tokio::spawn(async move { running.connect().await });
        Self(client)
    }

    pub(crate) async fn call(&self) -> Result<Bytes, Status> {
        self.call_with(CallOptions::default()).await
    }

    /// As soon as there is a connection.
    pub(crate) async fn call_when_ready(&self) -> Result<Bytes, Status> {
        let options = CallOptions {
            timeout: Some(HANG),
            wait_for_ready: Some(true),
            ..CallOptions::default()
        };
        self.call_with(options).await
    }

    async fn call_with(&self, options: CallOptions) -> Result<Bytes, Status> {
        let (metadata, message) = (Metadata::new(), Bytes::from("x"));
        self.0.unary(ECHO, metadata, message, options).await
    }

    pub(crate) async fn is_served(&self, when: &str) {
        assert_eq!(self.call().await, Ok(Bytes::from("x")), "{when}");
    }
}

impl Raw {
    /// The stream was reset, or its last answer came.
    pub(crate) async fn ended(&mut self, stream: u32) {
        loop {
            let frame = self.read().await;
            let frame = frame.unwrap_or_else(|error| panic!("stream {stream}: {error}"));
            let last = frame.kind == RST_STREAM || frame.flags & END_STREAM != 0;
            if frame.stream == stream && last {
                return;
            }
        }
    }

    /// A call like any other on this connection is answered.
    pub(crate) async fn is_served(&mut self, stream: u32, when: &str) {
        let mut call = block(0, stream, &request(ECHO));
        call.extend(frame(DATA, END_STREAM, stream, &message(b"x")));
        self.write(&call).await.expect("it is open");
        loop {
            let answer = self.next(DATA).await;
            if answer.stream == stream {
                assert_eq!(answer.payload, message(b"x"), "{when}");
                return;
            }
        }
    }
}
