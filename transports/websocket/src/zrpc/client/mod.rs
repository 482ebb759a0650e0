//! The dialling end of zrpc, on tokio-tungstenite.

mod call;
mod dial;
mod link;
mod link_calls;
mod proxy;
mod replies;
mod wire;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use headwater_proto::zrpc::Ending;
use headwater_rpc::{
    ClientTransport, Code, Inbound, Outbound, RequestHeaders, Status, tls::ClientTls,
};
use tokio::sync::{Mutex, watch};

use self::{
    call::PlainCall,
    dial::{Dialer, Spoken},
    link::Link,
};
pub use self::{
    proxy::{BlobCodec, Method, Proxy},
    replies::Replies,
};

/// How a client speaks, and its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct ZrpcClientConfig {
    /// Which frames are asked for. Default: those with call ids, or else the original's.
    pub framing: Framing,
    /// How the end of a call is told by a server that agrees on no subprotocol; one that does is understood either way.
    /// Default: by a close frame.
    pub ending: Ending,
    /// How long a connection may take to come up, TLS and the handshake included. Default: 10 s.
    pub connect_timeout: Duration,
    /// The longest WebSocket message that is taken, in bytes; a longer one ends the connection. Default: 8 MiB and 64 KiB.
    pub message_bytes_max: usize,
    /// When nothing was heard of a server for this long, it is asked (ping), on a socket with call ids. Default: 10 s.
    pub ping_interval: Duration,
    /// How long the answer may take before the connection counts as lost. Anything that comes is an answer. Default: 10 s.
    pub ping_timeout: Duration,
    /// TLS, for `wss`. Default: the system's certificate authorities, which needs this crate's feature `native-roots`.
    pub tls: Option<ClientTls>,
}

impl Default for ZrpcClientConfig {
    fn default() -> Self {
        Self {
            framing: Framing::default(),
            ending: Ending::default(),
            connect_timeout: Duration::from_secs(10),
            message_bytes_max: (8 << 20) + (64 << 10),
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(10),
            tls: None,
        }
    }
}

/// Which of zrpc's frames a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Framing {
    /// Offers `zrpc.v2` and `zrpc`: with the first, all calls share a socket; with the second, each has its own.
    #[default]
    Numbered,
    /// Offers `zrpc`: a socket for each call.
    Plain,
    /// Offers no subprotocol, as the original, whose servers know none: a socket for each call.
    Unnamed,
}

/// Calls by zrpc, over WebSockets. For [`headwater_rpc::Client`], with which generated code works too; [`Proxy`] calls
/// methods by name.
///
/// Without call ids, a call has one request: one with none or with several ends with `UNIMPLEMENTED`. Its metadata and its
/// timeout travel as headers of its handshake, and the responses have no metadata. The request goes out with the call if it is
/// there by then ([`headwater_rpc::Client::call_with_request`]), and else when the responses are first read. A call that finds nobody fails at once
/// with `UNAVAILABLE`, whether or not it waits for ready.
pub struct ZrpcClient {
    dialer: Dialer,
    /// The socket that calls with ids share; dialled when one is wanted.
    shared: Mutex<Shared>,
    /// How many dials ended without one.
    fruitless: AtomicU64,
    stopping: watch::Sender<bool>,
}

/// What calls with ids share.
struct Shared {
    link: Option<Arc<Link>>,
    /// How the last dial ended that brought none: with a server that has no call ids, or not at all.
    fruitless: Result<(), Status>,
}

impl ZrpcClient {
    /// A client of the server at `url`, such as `ws://host:8060/` or `wss://host`. Does not connect yet.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is no such URL, or what TLS is to use cannot be used.
    pub fn new(url: &str, config: &ZrpcClientConfig) -> Result<Self, Status> {
        Ok(Self {
            dialer: Dialer::new(url, config)?,
            shared: Mutex::new(Shared {
                link: None,
                fruitless: Ok(()),
            }),
            fruitless: AtomicU64::new(0),
            stopping: watch::Sender::new(false),
        })
    }

    /// The shared socket, or what a server spoke that has no call ids, with a socket of its own. One call dials; those that
    /// come meanwhile wait, and what it learns holds for them all.
    async fn link(&self, headers: &RequestHeaders) -> Result<Result<Arc<Link>, PlainCall>, Status> {
        let before = self.fruitless.load(Ordering::Acquire);
        let mut shared = self.shared.lock().await;
        if let Some(link) = shared.link.as_ref().filter(|link| link.is_open()) {
            return Ok(Ok(Arc::clone(link)));
        }
        if self.fruitless.load(Ordering::Acquire) != before {
            let fruitless = shared.fruitless.clone();
            drop(shared);
            fruitless?;
            return Ok(Err(self.plain(Framing::Plain, headers).await?));
        }
        // The metadata of the first call are no business of the others; should the server not know call ids, they have to
        // be in the handshake, and so it is dialled again.
        let dialled = self.dialer.dial(Framing::Numbered, None).await;
        if let Ok((socket, Spoken::Numbered)) = dialled {
            let link = Arc::new(Link::start(socket, self.dialer.config()));
            shared.link = Some(Arc::clone(&link));
            return Ok(Ok(link));
        }
        shared.fruitless = dialled.as_ref().map(|_| ()).map_err(Status::clone);
        self.fruitless.fetch_add(1, Ordering::Release);
        drop(shared);
        let (socket, spoken) = dialled?;
        let carried = headers.metadata.is_empty() && headers.timeout.is_none();
        if carried {
            return Ok(Err(PlainCall::new(socket, spoken, self.dialer.config())));
        }
        // The server need not hold two.
        drop(socket);
        Ok(Err(self.plain(Framing::Plain, headers).await?))
    }

    async fn plain(&self, framing: Framing, headers: &RequestHeaders) -> Result<PlainCall, Status> {
        let (socket, spoken) = self.dialer.dial(framing, Some(headers)).await?;
        Ok(PlainCall::new(socket, spoken, self.dialer.config()))
    }
}

#[async_trait]
impl ClientTransport for ZrpcClient {
    async fn connect(&self) -> Result<(), Status> {
        let mut stopping = self.stopping.subscribe();
        // The sender is part of `self`, so it cannot be gone.
        let _ = stopping.wait_for(|stopping| *stopping).await;
        // No call is open, so that nothing is lost.
        self.shared.lock().await.link.take();
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        self.stopping.send_replace(true);
    }

    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        if *self.stopping.borrow() {
            return Err(Status::new(
                Code::FailedPrecondition,
                "the client is stopping",
            ));
        }
        let call = match self.dialer.config().framing {
            Framing::Numbered => match self.link(&headers).await? {
                Ok(link) => return link.open(headers, outbound),
                Err(call) => call,
            },
            framing @ (Framing::Plain | Framing::Unnamed) => self.plain(framing, &headers).await?,
        };
        call.start(&headers.path, outbound).await
    }
}

impl fmt::Debug for ZrpcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZrpcClient")
            .field("uri", self.dialer.uri())
            .finish_non_exhaustive()
    }
}
