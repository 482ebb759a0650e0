//! Making a connection.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use h2::client::SendRequest;
use headwater_rpc::{
    Code, Status,
    channel::{Address, Connection, Connector},
    http::{Alternatives, request::Origin},
};
use http::uri::{Authority, Scheme};
use tokio::{sync::oneshot, time::timeout};

use super::{
    Http2ClientConfig,
    connection::Http2Connection,
    driver::{Driver, Job},
    keepalive::{self, Pace},
    shared::Shared,
    socket::{Socket, Stream, dial},
    tls::TlsDialer,
};
use headwater_rpc::Payload;

/// The largest window that there is (RFC 9113, 6.9.1).
const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;
/// Cancelled streams of the last second for which something may still come. What comes for one that was forgotten counts
/// as the server's error, and many of those end the connection.
const RESETS_REMEMBERED: usize = 1024;
/// How much more than its window a connection's unread frames may take, when they are small.
const OVERHEAD_FACTOR: usize = 4;
/// What one stream may have waiting in `h2` beyond the peer's window: some pulls of the driver's.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// How long a connection that nobody holds may take to end: GOAWAY, and the RST_STREAM of what was cancelled.
const FAREWELL: Duration = Duration::from_secs(1);

type Handshaken = (
    SendRequest<Payload>,
    h2::client::Connection<Socket, Payload>,
);

/// Makes connections to the servers of one target: TCP or Unix sockets, with TLS or without.
#[derive(Debug)]
pub struct Http2Connector {
    config: Http2ClientConfig,
    origin: Origin,
    tls: Option<TlsDialer>,
    pace: Pace,
    alternatives: Option<Alternatives>,
}

impl Http2Connector {
    /// Makes connections to the servers of `authority`, a host with or without a port, which is what requests and TLS
    /// name, whatever the address; for a Unix socket, `localhost`.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if that is no authority, or with TLS the reason why its files cannot be used.
    pub fn new(authority: &str, config: &Http2ClientConfig) -> Result<Self, Status> {
        let invalid = |error| {
            let message = format!("{authority:?} is not an authority: {error}");
            Status::new(Code::InvalidArgument, message)
        };
        // RFC 9113, 8.3.1: no user information. What stands before the `@` may be a password, so nothing is quoted.
        if authority.contains('@') {
            let message = "an authority has no user and no password";
            return Err(Status::new(Code::InvalidArgument, message));
        }
        let parsed: Authority = authority.parse().map_err(invalid)?;
        let tls = config.tls.as_ref();
        let tls = tls
            .map(|tls| TlsDialer::new(tls, parsed.host()))
            .transpose()?;
        let scheme = if tls.is_some() {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        let interval = config.keepalive.clone().unwrap_or_default().interval;
        Ok(Self {
            config: config.clone(),
            origin: Origin {
                scheme,
                authority: parsed,
            },
            tls,
            pace: Pace::new(interval),
            alternatives: None,
        })
    }

    /// Writes down here what the servers' answers announce (`alt-svc`, RFC 7838), for whoever follows it, such as a
    /// [`Fallback`](headwater_rpc::http::Fallback).
    #[must_use]
    pub fn announcing_to(self, alternatives: Alternatives) -> Self {
        Self {
            alternatives: Some(alternatives),
            ..self
        }
    }

    async fn dial(&self, address: &Address) -> Result<Box<dyn Stream>, Status> {
        let stream = dial(address).await;
        let stream = stream.map_err(|error| no_connection(&error))?;
        match &self.tls {
            Some(tls) => tls.handshake(stream).await,
            None => Ok(stream),
        }
    }

    async fn handshake(&self, socket: Socket) -> Result<Handshaken, Status> {
        let handshake = h2::client::Builder::new()
            .initial_window_size(self.config.stream_window_bytes.min(WINDOW_BYTES_MAX))
            .initial_connection_window_size(
                self.config.connection_window_bytes.min(WINDOW_BYTES_MAX),
            )
            .max_frame_size(self.config.frame_bytes_max.clamp(16 << 10, (16 << 20) - 1))
            .max_concurrent_reset_streams(RESETS_REMEMBERED)
            .data_frame_budget(self.frame_overhead_bytes())
            .max_header_list_size(self.config.header_list_bytes_max)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .enable_push(false)
            .handshake(socket)
            .await;
        handshake.map_err(|error| no_connection(&error))
    }

    /// What unread frames may take beside their bytes, by which `h2` counts small ones as 256 bytes each. A stream's
    /// window full of messages of some ten bytes, each in a frame of its own, must not cost the connection.
    fn frame_overhead_bytes(&self) -> usize {
        let window = usize::try_from(self.config.connection_window_bytes).unwrap_or(usize::MAX);
        window.saturating_mul(OVERHEAD_FACTOR)
    }

    async fn connect_unbounded(&self, address: &Address) -> Result<Http2Connection, Status> {
        let reads = Arc::new(AtomicU64::new(0));
        let socket = Socket::new(self.dial(address).await?, Arc::clone(&reads));
        let (sender, mut connection) = self.handshake(socket).await?;
        // The server's SETTINGS say how many streams there may be, and that it is one that speaks HTTP/2 at all.
        let heard = poll_fn(|cx| match std::pin::Pin::new(&mut connection).poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Err("the server closed it".to_owned())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.to_string())),
            Poll::Pending if reads.load(Ordering::Relaxed) > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        });
        heard.await.map_err(|error| no_connection(&error))?;
        let shared = Shared::new(sender, self.alternatives.clone());
        let keepalive = connection.ping_pong().zip(self.config.keepalive.clone());
        let keepalive = keepalive.map(|(ping_pong, config)| {
            let watch = keepalive::watch(ping_pong, config, self.pace.clone(), Arc::clone(&shared));
            Job::Keepalive(Box::pin(watch))
        });
        let driver = Driver::new(connection, Arc::clone(&shared), reads, keepalive);
        let (held, released) = oneshot::channel();
        let run = self.run(driver, Arc::clone(&shared), released);
        let driver = tokio::spawn(run).abort_handle();
        Ok(Http2Connection::new(
            shared,
            self.origin.clone(),
            driver,
            held,
        ))
    }

    fn run(
        &self,
        mut driver: Driver,
        shared: Arc<Shared>,
        released: oneshot::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let pace = self.pace.clone();
        async move {
            tokio::select! {
                () = &mut driver => {}
                // The other end says nothing but that it was dropped.
                _ = released => {
                    // Too late is as good as dropped at once, which it might have been.
                    let _ = timeout(FAREWELL, &mut driver).await;
                }
            }
            drop(driver);
            pace.learn(&shared.closed().await);
        }
    }
}

#[async_trait]
impl Connector for Http2Connector {
    async fn connect(&self, address: &Address) -> Result<Box<dyn Connection>, Status> {
        let limit = self.config.connect_timeout;
        match timeout(limit, self.connect_unbounded(address)).await {
            Ok(connected) => Ok(Box::new(connected?)),
            Err(_) => Err(no_connection(&format!("not connected within {limit:?}"))),
        }
    }
}

/// The channel says to which address.
pub(crate) fn no_connection(why: &dyn std::fmt::Display) -> Status {
    Status::new(Code::Unavailable, why.to_string())
}
