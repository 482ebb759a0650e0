//! The server: hands the calls of one transport to a router.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use headwater_core::call::{CallConfig, Credit, Encoding, Encodings, Shape};
use headwater_proto::{Code, Metadata, Status};
use tokio::{runtime::Handle, time::timeout};

use crate::{
    cancellation::Cancellation,
    clock::Clock,
    compression::{SUPPORTED_ENCODINGS, supported_or_identity},
    handlers::HandlerPermit,
    interceptor::{Filter, ServerInterceptor, ServerNext, chains::Chains},
    peer::Peer,
    receiver::Receiver,
    registry::Registry,
    router::{Route, Router},
    sender::Sender,
    service::RegisteredMethod,
    shared::{Shared, Side},
    transport::{Inbound, Outbound, RequestHeaders, ServerTransport},
};

/// The bounds of a server's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The largest request that is taken, decompressed; a larger one ends its call with `RESOURCE_EXHAUSTED`. 0: only empty
    /// ones. Default: 4 MiB.
    pub receive_message_bytes_max: usize,
    /// The largest response that is sent, before it is compressed; 0: only empty ones. Default: 4 MiB.
    pub send_message_bytes_max: usize,
    /// What may wait for the transport before a handler's sends block, and so what a call that is not read holds.
    /// Default: 1024 messages, 256 KiB.
    pub send_window: Credit,
    /// A bound for every call, beside the client's own; the earlier counts. Default: none, for streams live long.
    pub timeout_max: Option<Duration>,
    /// A bound for unary calls alone, from the headers to the answer: a peer that opens one and never sends its message
    /// ends with `DEADLINE_EXCEEDED` and does not hold its stream for ever. Default: 10 s.
    pub unary_timeout_max: Option<Duration>,
    /// How long the client of a call that its handler has ended may take nothing of what the handler has sent; then the stream
    /// is reset, and what is left of the answer is let go. Before the end, the call's time limit and its handler see to that;
    /// afterwards nobody else does, and a client that makes no room and answers pings would have the answer held for ever.
    /// Default: 20 s.
    pub unread_timeout: Option<Duration>,
    /// What the requests may be compressed with; another one ends its call with `UNIMPLEMENTED`. Default: all that the
    /// build has ([`SUPPORTED_ENCODINGS`]).
    pub accepted_encodings: Encodings,
    /// What responses are compressed with, where the client takes it and the handler does not say otherwise
    /// ([`Sender::set_compression`]). Default: not at all.
    pub compression: Encoding,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let config = CallConfig::default();
        Self {
            receive_message_bytes_max: config.receive_message_bytes_max,
            send_message_bytes_max: config.send_message_bytes_max,
            send_window: config.send_window,
            timeout_max: None,
            unary_timeout_max: Some(Duration::from_secs(10)),
            unread_timeout: Some(Duration::from_secs(20)),
            accepted_encodings: SUPPORTED_ENCODINGS,
            compression: Encoding::Identity,
        }
    }
}

/// How long calls that were ended have to leave before their connections are cut.
const PARTING: Duration = Duration::from_secs(1);

/// A call as its handler gets it.
#[derive(Debug)]
#[non_exhaustive]
pub struct IncomingCall {
    /// The method, such as `/package.Service/Method`.
    pub path: Arc<str>,
    /// How many messages the method has each way.
    pub shape: Shape,
    /// The request's metadata.
    pub metadata: Metadata,
    /// Who calls.
    pub peer: Peer,
    /// The requests.
    pub receiver: Receiver,
    /// The responses. [`Sender::finish`] ends the call.
    pub sender: Sender,
    /// Tells that nobody waits for the answer any more.
    pub cancellation: Cancellation,
}

/// A stream that a transport has accepted.
#[non_exhaustive]
pub struct AcceptedStream {
    /// The request's headers.
    pub headers: RequestHeaders,
    /// Who opened it.
    pub peer: Peer,
    /// What the client sends. Dropping it means only that the request is not read further.
    pub inbound: Box<dyn Inbound>,
    permit: Option<HandlerPermit>,
}

impl AcceptedStream {
    /// All that a stream needs to become a call. Its handler is not counted, unless [`AcceptedStream::permitted`] says so.
    pub const fn new(headers: RequestHeaders, peer: Peer, inbound: Box<dyn Inbound>) -> Self {
        Self {
            headers,
            peer,
            inbound,
            permit: None,
        }
    }

    /// Has the handler hold this permit until it has ended its call or itself.
    pub fn permitted(mut self, permit: HandlerPermit) -> Self {
        self.permit = Some(permit);
        self
    }
}

/// Takes the streams that a transport has accepted. Clones share the server.
#[derive(Clone)]
pub struct Acceptor {
    inner: Arc<Inner>,
}

struct Inner {
    config: ServerConfig,
    router: Router,
    interceptors: Chains<dyn ServerInterceptor>,
    calls: Arc<Registry>,
    clock: Clock,
    started: AtomicBool,
    /// Where it serves: a transport without a socket accepts on the client's runtime, with which no handler may end.
    runtime: OnceLock<Handle>,
}

impl Acceptor {
    /// The largest request that this server takes, in bytes.
    pub fn receive_message_bytes_max(&self) -> usize {
        self.inner.config.receive_message_bytes_max
    }

    /// How long an answer may wait for its client once the call has ended ([`ServerConfig::unread_timeout`]). A [`ResetWatch`]
    /// sees to that while a transport holds the call's outbound; this is for those that hold answers beyond.
    ///
    /// [`ResetWatch`]: crate::ResetWatch
    pub fn unread_timeout(&self) -> Option<Duration> {
        self.inner.config.unread_timeout
    }

    /// The methods that the server has now, and a number that is another one when they have changed. `None` if it is still
    /// the `known` one. For transports that do not carry the names of methods.
    pub fn methods_since(&self, known: Option<u64>) -> Option<(u64, Vec<RegisteredMethod>)> {
        self.inner.router.methods_since(known)
    }

    /// How many messages the method at this path has each way; `None` if the server has no such method. For transports that
    /// cannot carry all shapes.
    pub fn shape(&self, path: &str) -> Option<Shape> {
        self.inner.router.shape(path)
    }

    /// Makes a call of a stream: its handler starts in a task of its own, and what it sends is in the result.
    pub fn accept(&self, accepted: AcceptedStream) -> Outbound {
        let AcceptedStream {
            mut headers,
            peer,
            inbound,
            permit,
        } = accepted;
        let inner = &*self.inner;
        let (call, route) = inner.router.with_route(&headers.path, |route| {
            let config = inner.call_config(route, headers.timeout);
            let call = inner.new_call(&config);
            inner.calls.add(&call, route.map(|route| route.id));
            (call, route.cloned())
        });
        let outbound = Outbound::new(Arc::clone(&call));
        call.set_inbound(inbound);
        let is_open = call.act(|state| {
            state.call.requested(&mut headers.metadata);
            !state.call.is_ended()
        });
        if !is_open {
            return outbound;
        }
        let shape = route.as_ref().map(|route| route.shape).unwrap_or_default();
        let incoming = incoming(headers, shape, peer, Arc::clone(&call));
        match route {
            Some(route) => inner.run(&route, Running::new(call, permit), incoming),
            None => {
                let message = format!("there is no method {}", incoming.path);
                let status = Status::new(Code::Unimplemented, message);
                // A call that has ended already needs no answer.
                let _ = incoming.sender.finish(Err(status), Metadata::new());
            }
        }
        outbound
    }

    /// Makes a call of a stream that this side begins, where a protocol has such a thing: pw_rpc's unrequested responses.
    /// No handler starts, and no interceptor sees it: the call is the caller's, and what it sends is in the outbound. Of the
    /// path's route it has the shape, and ends with it; of the server's bounds all but the one for unary calls, for there is
    /// no request to wait for. The headers' time limit does not count: no request gave it.
    pub fn begin(&self, accepted: AcceptedStream) -> (Outbound, IncomingCall) {
        let AcceptedStream {
            mut headers,
            peer,
            inbound,
            // No handler starts.
            permit: _,
        } = accepted;
        let inner = &*self.inner;
        let (call, shape) = inner.router.with_route(&headers.path, |route| {
            let config = CallConfig {
                timeout: inner.config.timeout_max,
                ..inner.call_config(route, None)
            };
            let call = inner.new_call(&config);
            inner.calls.add(&call, route.map(|route| route.id));
            (call, config.shape)
        });
        call.set_inbound(inbound);
        call.act(|state| state.call.requested(&mut headers.metadata));
        if call.deadline().is_some() {
            call.start_timer(inner.runtime());
        }
        let outbound = Outbound::new(Arc::clone(&call));
        (outbound, incoming(headers, shape, peer, call))
    }

    /// Waits for the end of a transport that stops gracefully: until `all_ended` is done, which is when its last connection
    /// has ended. After `bound` every open call of the server ends with `UNAVAILABLE`; the client is told, or finds its
    /// stream reset if messages still wait for it. A second later this returns all the same, and what is left is the
    /// caller's to cut. Without a `bound` the calls have all the time they need.
    pub async fn drain(&self, bound: Option<Duration>, all_ended: impl Future<Output = ()>) {
        let mut all_ended = pin!(all_ended);
        let Some(bound) = bound else {
            return all_ended.await;
        };
        if timeout(bound, all_ended.as_mut()).await.is_ok() {
            return;
        }
        let open = self.inner.calls.open();
        tracing::debug!(target: "headwater_rpc", calls = open.len(), "out of time to stop");
        for call in open {
            call.cancel(Status::new(
                Code::Unavailable,
                "the server is shutting down",
            ));
        }
        // It may have nothing more to say.
        let _ = timeout(PARTING, all_ended).await;
    }
}

fn incoming(headers: RequestHeaders, shape: Shape, peer: Peer, call: Arc<Shared>) -> IncomingCall {
    IncomingCall {
        path: headers.path,
        shape,
        metadata: headers.metadata,
        peer,
        receiver: Receiver::new(Arc::clone(&call)),
        sender: Sender::new(Arc::clone(&call)),
        cancellation: Cancellation::new(call),
    }
}

impl Inner {
    /// Starts the handler, or what stands before it.
    fn run(&self, route: &Arc<Route>, running: Running, call: IncomingCall) {
        let route = Arc::clone(route);
        match self.interceptors.of(&call.path) {
            None => self.runtime().spawn(async move {
                let handle = route.handler.handle(call);
                timed(running, handle).await;
            }),
            Some(chain) => {
                let next = ServerNext::new(chain, Arc::clone(&route.handler));
                self.runtime()
                    .spawn(timed(running, Box::pin(next.run(call))))
            }
        };
    }

    fn runtime(&self) -> &Handle {
        self.runtime.get_or_init(Handle::current)
    }

    fn new_call(&self, config: &CallConfig) -> Arc<Shared> {
        Shared::new(Side::Server, config, self.clock, self.config.unread_timeout)
    }

    fn call_config(&self, route: Option<&Arc<Route>>, timeout: Option<Duration>) -> CallConfig {
        let config = &self.config;
        let shape = route.map(|route| route.shape).unwrap_or_default();
        let unary = config.unary_timeout_max.filter(|_| shape == Shape::Unary);
        let bounds = [timeout, config.timeout_max, unary];
        CallConfig {
            shape,
            timeout: bounds.into_iter().flatten().min(),
            send_message_bytes_max: config.send_message_bytes_max,
            receive_message_bytes_max: config.receive_message_bytes_max,
            send_window: config.send_window,
            receive_window: None,
            send_encoding: supported_or_identity(config.compression),
            accepted_encodings: config.accepted_encodings.intersection(SUPPORTED_ENCODINGS),
        }
    }
}

/// A call whose handler runs until this is dropped, however its task ends.
struct Running {
    call: Arc<Shared>,
    /// It has or had a permit.
    permitted: bool,
}

impl Running {
    fn new(call: Arc<Shared>, permit: Option<HandlerPermit>) -> Self {
        let permitted = permit.is_some();
        if permitted {
            call.look(|state| state.permit = permit);
        }
        Self { call, permitted }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.permitted {
            drop(self.call.look(|state| state.permit.take()));
        }
    }
}

/// Has the deadline fire while the handler runs, in the handler's own task, and in another one if the call outlives it.
async fn timed(running: Running, mut handle: impl Future<Output = ()> + Unpin) {
    let call = &running.call;
    let Some(at) = call.deadline() else {
        return handle.await;
    };
    let mut over = None;
    let is_done = poll_fn(|cx| {
        if Pin::new(&mut handle).poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        // Made only now: many are done at once, and need no timer.
        let over = over.get_or_insert_with(|| Box::pin(call.end_at(at)));
        over.as_mut().poll(cx).map(|()| false)
    });
    if is_done.await {
        call.start_timer(&Handle::current());
    } else {
        handle.await;
    }
}

/// Serves a [`Router`] over one transport. Clones share it.
#[derive(Clone)]
pub struct Server {
    transport: Arc<dyn ServerTransport>,
    acceptor: Acceptor,
}

impl Server {
    /// A server that does not listen yet. Several servers may share one router.
    pub fn new(transport: impl ServerTransport, router: Router, config: ServerConfig) -> Self {
        Self::builder(transport, router).config(config).build()
    }

    /// As [`Server::new`], for a server that has more than a configuration.
    pub fn builder(transport: impl ServerTransport, router: Router) -> ServerBuilder {
        ServerBuilder {
            transport: Arc::new(transport),
            router,
            config: ServerConfig::default(),
            interceptors: Chains::default(),
        }
    }

    /// Serves until [`Server::begin_graceful_shutdown`], and then until the open calls have ended. Dropping this stops the
    /// server at once: every open call ends, on both sides.
    ///
    /// # Errors
    ///
    /// `FAILED_PRECONDITION` if it served before; or the transport cannot listen.
    pub async fn serve(&self) -> Result<(), Status> {
        let inner = &*self.acceptor.inner;
        if inner.started.swap(true, Ordering::AcqRel) {
            return Err(Status::new(
                Code::FailedPrecondition,
                "the server was started before",
            ));
        }
        // Before anybody accepts on another.
        inner.runtime();
        let stop = StopServer(self);
        self.transport.configure(&inner.router.methods());
        let result = self.transport.listen(self.acceptor.clone()).await;
        if result.is_ok() {
            inner.calls.empty().await;
        }
        drop(stop);
        result
    }

    /// As [`Server::serve`], until `signal` is done, such as the one that asks the process to terminate. Then it stops
    /// gracefully, and after `grace` at once, whatever is open; without a `grace` the open calls have all the time they
    /// need.
    ///
    /// # Errors
    ///
    /// As [`Server::serve`]. That calls had to be ended is no error.
    pub async fn serve_until(
        &self,
        signal: impl Future<Output = ()>,
        grace: Option<Duration>,
    ) -> Result<(), Status> {
        let stop = || self.begin_graceful_shutdown();
        until(self.serve(), signal, stop, grace).await
    }

    /// Refuses new calls, tells the handlers of the open ones ([`Cancellation`]), and lets them finish.
    pub fn begin_graceful_shutdown(&self) {
        self.transport.begin_graceful_shutdown();
        self.acceptor.inner.calls.begin_stopping();
    }

    /// How many calls are open.
    pub fn open_calls(&self) -> usize {
        self.acceptor.inner.calls.open().len()
    }
}

/// Runs until it ends, or is stopped gracefully after `signal` and dropped after `grace`.
pub(crate) async fn until(
    run: impl Future<Output = Result<(), Status>>,
    signal: impl Future<Output = ()>,
    stop: impl FnOnce(),
    grace: Option<Duration>,
) -> Result<(), Status> {
    let mut run = pin!(run);
    tokio::select! {
        // It begins before it can be stopped, however early the signal.
        biased;
        result = &mut run => return result,
        () = signal => stop(),
    }
    match grace {
        Some(grace) => timeout(grace, run).await.unwrap_or(Ok(())),
        None => run.await,
    }
}

/// A server that is being put together.
#[must_use]
pub struct ServerBuilder {
    transport: Arc<dyn ServerTransport>,
    router: Router,
    config: ServerConfig,
    interceptors: Chains<dyn ServerInterceptor>,
}

impl ServerBuilder {
    /// The bounds of its calls. Default: those of [`ServerConfig`].
    pub fn config(self, config: ServerConfig) -> Self {
        Self { config, ..self }
    }

    /// Has an interceptor see the calls of the methods that `filter` admits, after those that were added before.
    pub fn intercept(mut self, filter: Filter, interceptor: impl ServerInterceptor) -> Self {
        self.interceptors.add(filter, Arc::new(interceptor));
        self
    }

    /// The server, which does not listen yet.
    pub fn build(self) -> Server {
        let calls = Arc::new(Registry::default());
        self.router.join(&calls);
        Server {
            transport: self.transport,
            acceptor: Acceptor {
                inner: Arc::new(Inner {
                    config: self.config,
                    router: self.router,
                    interceptors: self.interceptors,
                    calls,
                    clock: Clock::new(),
                    started: AtomicBool::new(false),
                    runtime: OnceLock::new(),
                }),
            },
        }
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").finish_non_exhaustive()
    }
}

/// However `serve` ends, nobody waits for ever.
struct StopServer<'a>(&'a Server);

impl Drop for StopServer<'_> {
    fn drop(&mut self) {
        let calls = &self.0.acceptor.inner.calls;
        calls.begin_stopping();
        for call in calls.open() {
            call.cancel(Status::new(Code::Unavailable, "the server was stopped"));
        }
        self.0.transport.begin_graceful_shutdown();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}
