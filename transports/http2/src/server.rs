//! The server's end: tonic's HTTP/2 server under a service of our own.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream;
use headwater_rpc::{
    AcceptedStream, Acceptor, Code, Frame, Outbound, Peer, Pulled, RequestHeaders, ServerTransport,
    Status, Trailers, channel::Address,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Sleep,
};
use tonic::{
    body::Body,
    transport::{Server, server::TcpConnectInfo},
};
use tower::Service;

use crate::{body::CallBody, headers, inbound::RequestInbound, io::Breakable};

/// How much earlier than the client's deadline ours is, so that it comes before tonic's own, which answers `CANCELLED`.
const EARLIER: Duration = Duration::from_millis(1);
/// How long to wait before the next accept when the system is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The bounds of a server's connections.
///
/// There is no greatest age of a connection (gRFC A9): an upstream's link lives as long as its connection, so ending a
/// healthy one would break every link for nothing. What an age is for is had otherwise: a peer that is gone is found by
/// keep-alive, a server that leaves tells its links to go ([`ServerTransport::begin_graceful_shutdown`]), which also is
/// how load moves to other servers, and what one connection may hold is bounded by its streams and its windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http2ServerConfig {
    /// Connections that may be open. One more is closed as soon as it is accepted, and its client finds the server
    /// unavailable and can try another: left waiting, it would look connected and hear nothing. Together with
    /// `connection_window_bytes` this bounds what requests that are not read can take. Default: 1024.
    pub connections_max: usize,
    /// Streams that may be open on one connection; more are refused (`REFUSED_STREAM`). Default: 128.
    pub concurrent_streams_max: u32,
    /// The largest header list that is taken. Default: 16 KiB.
    pub header_list_bytes_max: u32,
    /// Streams that a client may reset before they were accepted; more ends its connection ("rapid reset"). Default: 20.
    pub pending_reset_streams_max: usize,
    /// How long a new connection may take to begin to speak HTTP/2. Default: 10 s.
    pub preface_timeout: Duration,
    /// When nothing was heard for this long, the client is asked. Default: 5 s.
    pub keepalive_interval: Duration,
    /// How long the answer may take before the connection counts as lost. Default: 5 s.
    pub keepalive_timeout: Duration,
    /// What a client may send on one stream before it is read. Default: 256 KiB.
    pub stream_window_bytes: u32,
    /// What a client may send on all streams together before it is read, and so the memory that one connection can take.
    /// Much larger than one stream's, for else one unread stream stops all others. Default: 16 MiB.
    pub connection_window_bytes: u32,
}

impl Default for Http2ServerConfig {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            concurrent_streams_max: 128,
            header_list_bytes_max: 16 << 10,
            pending_reset_streams_max: 20,
            preface_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(5),
            keepalive_timeout: Duration::from_secs(5),
            stream_window_bytes: 256 << 10,
            connection_window_bytes: 16 << 20,
        }
    }
}

/// Serves gRPC over HTTP/2 without TLS on one address.
pub struct Http2Server {
    config: Http2ServerConfig,
    local_addr: SocketAddr,
    listener: Mutex<Option<TcpListener>>,
    stopping: watch::Sender<bool>,
    /// Breaks all connections.
    switch: watch::Sender<bool>,
}

impl Http2Server {
    /// Binds the address; with port 0, the system chooses one. Connections wait until the server serves.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn bind(addr: impl ToSocketAddrs, config: Http2ServerConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        Ok(Self {
            config,
            local_addr: listener.local_addr()?,
            listener: Mutex::new(Some(listener)),
            stopping: watch::Sender::new(false),
            switch: watch::Sender::new(false),
        })
    }

    /// The address that was bound.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    fn take_listener(&self) -> Option<TcpListener> {
        let mut slot = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take()
    }

    fn http_server(&self) -> Server {
        let config = &self.config;
        Server::builder()
            .max_concurrent_streams(config.concurrent_streams_max)
            .http2_max_header_list_size(config.header_list_bytes_max)
            .http2_max_pending_accept_reset_streams(Some(config.pending_reset_streams_max))
            .http2_keepalive_interval(Some(config.keepalive_interval))
            .http2_keepalive_timeout(Some(config.keepalive_timeout))
            .initial_stream_window_size(config.stream_window_bytes)
            .initial_connection_window_size(config.connection_window_bytes)
    }
}

#[async_trait]
impl ServerTransport for Http2Server {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        let Some(listener) = self.take_listener() else {
            return Err(Status::new(Code::FailedPrecondition, "it listened before"));
        };
        let stop = BreakAll(&self.switch);
        let switch = self.switch.subscribe();
        let timeout = self.config.preface_timeout;
        let room = self.config.connections_max.min(Semaphore::MAX_PERMITS);
        let incoming = Incoming {
            listener,
            room: Arc::new(Semaphore::new(room)),
        };
        let incoming = stream::unfold((incoming, switch), move |(incoming, switch)| async move {
            let (stream, place) = incoming.accept().await;
            let connection = Breakable::new(stream, place, switch.clone(), timeout);
            Some((Ok::<_, io::Error>(connection), (incoming, switch)))
        });
        let mut stopping = self.stopping.subscribe();
        let signal = async move {
            // The sender is part of `self`, so it cannot be gone.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        let served = self
            .http_server()
            .serve_with_incoming_shutdown(CallService { acceptor }, incoming, signal)
            .await;
        drop(stop);
        served.map_err(|error| Status::new(Code::Unavailable, error.to_string()))
    }

    fn begin_graceful_shutdown(&self) {
        self.stopping.send_replace(true);
    }
}

/// However `listen` ends, no connection outlives it.
struct BreakAll<'a>(&'a watch::Sender<bool>);

impl Drop for BreakAll<'_> {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// The connections that there is room for.
struct Incoming {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

impl Incoming {
    async fn accept(&self) -> (TcpStream, OwnedSemaphorePermit) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            if let Ok(place) = Arc::clone(&self.room).try_acquire_owned() {
                // Without it small frames wait for acknowledgements; a socket that refuses works all the same.
                let _ = stream.set_nodelay(true);
                return (stream, place);
            }
        }
    }
}

/// An answer in place of a call.
type Refusal = Box<Response<CallBody>>;

/// Takes every path; what is no gRPC call is refused before the application sees it.
#[derive(Clone)]
struct CallService {
    acceptor: Acceptor,
}

impl Service<Request<Body>> for CallService {
    type Response = Response<CallBody>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Responding {
        match self.accept(request) {
            Ok(outbound) => Responding::new(outbound),
            Err(refusal) => Responding::Refused(Some(refusal)),
        }
    }
}

impl CallService {
    fn accept(&self, request: Request<Body>) -> Result<Outbound, Refusal> {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED);
            let allow = HeaderValue::from_static("POST");
            refusal.headers_mut().insert(header::ALLOW, allow);
            return Err(Box::new(refusal));
        }
        if !headers::is_grpc(&head.headers) {
            return Err(Box::new(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE)));
        }
        let timeout =
            headers::to_timeout(&head.headers).map_err(|status| Box::new(refused(status)))?;
        let metadata = headers::to_metadata(&head.headers)
            .map_err(|error| Box::new(refused(Status::new(Code::Internal, error.to_string()))))?;
        let info = head.extensions.get::<TcpConnectInfo>();
        let remote = describe(info.and_then(TcpConnectInfo::remote_addr));
        let local = describe(info.and_then(TcpConnectInfo::local_addr));
        let peer = Peer::new(remote, local);
        let bytes_max = self.acceptor.receive_message_bytes_max();
        let headers = RequestHeaders {
            path: head.uri.path().into(),
            metadata,
            timeout: timeout.map(|timeout| timeout.saturating_sub(EARLIER)),
            wait_for_ready: false,
        };
        let inbound = Box::new(RequestInbound::new(body, bytes_max));
        Ok(self
            .acceptor
            .accept(AcceptedStream::new(headers, peer, inbound)))
    }
}

fn describe(addr: Option<SocketAddr>) -> String {
    let address = addr.map(|addr| Address::Socket(addr).to_string());
    address.unwrap_or_else(|| "unknown".to_owned())
}

fn plain(status: StatusCode) -> Response<CallBody> {
    let mut response = Response::new(CallBody::empty());
    *response.status_mut() = status;
    response
}

fn refused(status: Status) -> Response<CallBody> {
    trailers_only(&Trailers::failed(status))
}

/// A response whose status stands in its headers.
fn trailers_only(trailers: &Trailers) -> Response<CallBody> {
    let mut response = Response::new(CallBody::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, headers::content_type());
    headers::append_trailers(trailers, headers);
    response
}

/// Waits for what the handler says first.
enum Responding {
    Refused(Option<Refusal>),
    Waiting {
        outbound: Option<Outbound>,
        frames: Vec<Frame>,
        /// Beats tonic's own timer, which is polled after this future.
        deadline: Option<Pin<Box<Sleep>>>,
    },
}

impl Responding {
    fn new(outbound: Outbound) -> Self {
        let deadline = outbound.deadline();
        Self::Waiting {
            outbound: Some(outbound),
            frames: Vec::new(),
            deadline: deadline.map(|at| Box::pin(tokio::time::sleep_until(at))),
        }
    }
}

impl Future for Responding {
    type Output = Result<Response<CallBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Refused(refusal) => {
                let refusal = refusal
                    .take()
                    .expect("a future is not polled after it is ready");
                Poll::Ready(Ok(*refusal))
            }
            Self::Waiting {
                outbound,
                frames,
                deadline,
            } => {
                let waiting = outbound
                    .as_mut()
                    .expect("a future is not polled after it is ready");
                let pulled = ready!(poll_first(waiting, frames, deadline, cx));
                let outbound = outbound.take().expect("it was there just now");
                Poll::Ready(Ok(respond(pulled, outbound, std::mem::take(frames))))
            }
        }
    }
}

fn poll_first(
    outbound: &mut Outbound,
    frames: &mut Vec<Frame>,
    deadline: &mut Option<Pin<Box<Sleep>>>,
    cx: &mut Context<'_>,
) -> Poll<Pulled> {
    if let Poll::Ready(pulled) = outbound.poll_frames(cx, frames) {
        return Poll::Ready(pulled);
    }
    if let Some(timer) = deadline {
        ready!(timer.as_mut().poll(cx));
        *deadline = None;
        outbound.check_deadline();
        return outbound.poll_frames(cx, frames);
    }
    Poll::Pending
}

fn respond(pulled: Pulled, outbound: Outbound, mut frames: Vec<Frame>) -> Response<CallBody> {
    if pulled != Pulled::Frames || frames.is_empty() {
        return refused(Status::new(Code::Cancelled, "the call was cancelled"));
    }
    match frames.remove(0) {
        Frame::Headers(metadata) => {
            let mut response = Response::new(CallBody::response(outbound, frames));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, headers::content_type());
            headers::append_metadata(&metadata, headers);
            response
        }
        Frame::End(trailers) => trailers_only(&trailers),
        // The machine sends headers before any message.
        Frame::Message(_) | Frame::Compressed(_) => {
            refused(Status::new(Code::Internal, "a message before headers"))
        }
    }
}
