//! The client: calls over one transport.

use std::{fmt, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use headwater_core::call::{CallConfig, Credit, Encoding, Encodings, EndedBy, SendError, Shape};
use headwater_proto::{Code, Metadata, Status};
use tokio::{runtime::Handle, sync::watch};

use crate::{
    attempts::{Plan, Policies, RetryConfig},
    clock::Clock,
    compression::{SUPPORTED_ENCODINGS, supported_or_identity},
    interceptor::{ClientInterceptor, ClientNext, Filter, OutgoingCall, chains::Chains},
    receiver::{CallError, Receiver},
    registry::Registry,
    sender::Sender,
    server::until,
    service_config::{ExecutionPolicy, RetryCounters, ServiceConfig},
    shared::{Shared, Side},
    transport::{ClientTransport, Outbound, RequestHeaders},
};

/// How a call is made.
///
/// What is `None` is what the service config says for the method. What is set comes before it, except that the earlier of
/// two timeouts applies.
#[derive(Debug, Clone, PartialEq)]
pub struct CallOptions {
    /// How long the call may take, from now to its status, all its attempts together. Default: without bound.
    pub timeout: Option<Duration>,
    /// Whether the call waits for a connection, until its deadline, instead of failing while there is none. Default: it
    /// fails.
    pub wait_for_ready: Option<bool>,
    /// Whether the call is retried or hedged. Default: neither. It is then still sent again when no handler has seen it (gRFC
    /// A6, "Transparent Retries"), if its only request was given with it ([`Client::call_with_request`], [`Client::unary`]);
    /// with requests that are sent one by one it is not, for which there is [`ExecutionPolicy::TRANSPARENT`].
    pub execution: Option<ExecutionPolicy>,
    /// What the call may keep of its requests to send them again, in bytes; each message counts 32 beside its own, so that 0
    /// keeps none, and a call without a policy is not sent again. Default: as [`RetryConfig`] says.
    pub retry_buffer_bytes_max: Option<usize>,
    /// How many messages the method has each way; checked on both sides. Default: bidirectional.
    pub shape: Shape,
    /// The largest response that is taken, in bytes after decompression; 0 takes only empty ones. Default: 4 MiB.
    pub receive_message_bytes_max: Option<usize>,
    /// The largest request that is sent, in bytes before compression; 0 sends only empty ones. Default: 4 MiB.
    pub send_message_bytes_max: Option<usize>,
    /// What may wait for the transport before sends block. Default: 1024 messages, 256 KiB.
    pub send_window: Credit,
    /// What the requests are compressed with, as far as the build has it. A server that does not take it ends the call
    /// with `UNIMPLEMENTED`. Default: not at all.
    pub compression: Encoding,
    /// What the responses may be compressed with, which the server is told. Default: not at all, which says nothing.
    pub accepted_encodings: Encodings,
}

impl Default for CallOptions {
    fn default() -> Self {
        let config = CallConfig::default();
        Self {
            timeout: None,
            wait_for_ready: None,
            execution: None,
            retry_buffer_bytes_max: None,
            shape: config.shape,
            receive_message_bytes_max: None,
            send_message_bytes_max: None,
            send_window: config.send_window,
            compression: config.send_encoding,
            accepted_encodings: config.accepted_encodings,
        }
    }
}

impl CallOptions {
    fn config(&self) -> CallConfig {
        let default = CallConfig::default();
        let sent = self.send_message_bytes_max;
        let received = self.receive_message_bytes_max;
        CallConfig {
            shape: self.shape,
            timeout: self.timeout,
            send_message_bytes_max: sent.unwrap_or(default.send_message_bytes_max),
            receive_message_bytes_max: received.unwrap_or(default.receive_message_bytes_max),
            send_window: self.send_window,
            receive_window: None,
            send_encoding: supported_or_identity(self.compression),
            accepted_encodings: self.accepted_encodings.intersection(SUPPORTED_ENCODINGS),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    NotStarted,
    Running,
    Stopping,
    Stopped,
}

/// Makes calls over one transport. Clones share it.
///
/// [`Client::connect`] has to run, in a task of its own, for calls to go; those made before wait for it.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    transport: Arc<dyn ClientTransport>,
    policies: Arc<Policies>,
    interceptors: Chains<dyn ClientInterceptor>,
    phase: watch::Sender<Phase>,
    calls: Arc<Registry>,
    clock: Clock,
}

impl Client {
    /// A client that is not connected yet.
    pub fn new(transport: impl ClientTransport) -> Self {
        Self::builder(transport).build()
    }

    /// A client that is not connected yet, with bounds and policies for the methods that it calls.
    pub fn with_service_config(transport: impl ClientTransport, config: ServiceConfig) -> Self {
        Self::builder(transport).service_config(config).build()
    }

    /// As [`Client::new`], for a client that has more than a transport.
    pub fn builder(transport: impl ClientTransport) -> ClientBuilder {
        ClientBuilder {
            transport: Arc::new(transport),
            config: ServiceConfig::default(),
            interceptors: Chains::default(),
        }
    }

    /// Gives the client other bounds and policies, for the calls that begin from now on. A configuration that the transport
    /// brings ([`ClientTransport::service_config`]) still comes before it.
    pub fn set_service_config(&self, config: ServiceConfig) {
        self.inner.policies.set_service_config(config);
    }

    /// Bounds the policies, for the calls that begin from now on.
    pub fn set_retry_config(&self, config: RetryConfig) {
        self.inner.policies.set_retry_config(config);
    }

    /// What became of the calls that had a policy or were sent again because no handler had seen them, since this client was
    /// made. A call is counted when it is over, or committed to one attempt.
    pub fn retry_counters(&self) -> RetryCounters {
        self.inner.policies.counters()
    }

    /// Runs the client until it is drained after [`Client::begin_graceful_shutdown`]. Dropping this stops it at once:
    /// every open call ends as cancelled, on both sides.
    ///
    /// # Errors
    ///
    /// `FAILED_PRECONDITION` if it ran before or was stopped; or the transport cannot work.
    pub async fn connect(&self) -> Result<(), Status> {
        let inner = &*self.inner;
        let started = inner.phase.send_if_modified(|phase| {
            let first = *phase == Phase::NotStarted;
            if first {
                *phase = Phase::Running;
            }
            first
        });
        if !started {
            return Err(precondition("the client was started or stopped before"));
        }
        let _stop = StopClient(inner);
        let drained = async {
            let mut phase = inner.phase.subscribe();
            // The sender is part of `inner`, so it cannot be gone.
            let _ = phase.wait_for(|phase| *phase >= Phase::Stopping).await;
            inner.transport.refuse_waiting();
            inner.calls.empty().await;
            inner.transport.begin_graceful_shutdown();
            std::future::pending().await
        };
        tokio::select! {
            result = inner.transport.connect() => result,
            () = drained => Ok(()),
        }
    }

    /// As [`Client::connect`], until `signal` is done. Then it stops gracefully, and after `grace` at once, whatever is
    /// open; without a `grace` the open calls have all the time they need.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`]. That calls had to be ended is no error.
    pub async fn connect_until(
        &self,
        signal: impl Future<Output = ()>,
        grace: Option<Duration>,
    ) -> Result<(), Status> {
        let stop = || self.begin_graceful_shutdown();
        until(self.connect(), signal, stop, grace).await
    }

    /// Refuses new calls from now on, and lets [`Client::connect`] return when the open ones have ended.
    pub fn begin_graceful_shutdown(&self) {
        self.inner.phase.send_if_modified(|phase| {
            let next = match *phase {
                Phase::NotStarted => Phase::Stopped,
                Phase::Running => Phase::Stopping,
                Phase::Stopping | Phase::Stopped => *phase,
            };
            let changed = next != *phase;
            *phase = next;
            changed
        });
    }

    /// Opens a call, whose requests are sent later: without a policy it is never sent again. The halves may be used from different tasks; dropping both cancels it.
    ///
    /// # Errors
    ///
    /// `FAILED_PRECONDITION` if the client is stopping or stopped, `DEADLINE_EXCEEDED` if the time was over before the
    /// call could start, what an interceptor refused it with, or what the transport says.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the call is cancelled.
    pub fn call(
        &self,
        path: impl Into<Arc<str>>,
        metadata: Metadata,
        options: CallOptions,
    ) -> impl Future<Output = Result<(Sender, Receiver), CallError>> + Send {
        let call = OutgoingCall {
            path: path.into(),
            metadata,
            options,
        };
        self.start(call, None)
    }

    /// Opens a call whose only request is `request`. It goes out with the headers, which is cheaper than sending it on
    /// a call that is open. As long as nothing was heard, and surely no handler has seen it, the call is sent again by itself,
    /// on another stream: once if the server's library refused it, and until the deadline if it never left this side (gRFC
    /// A6, "Transparent Retries"). Interceptors see one call.
    ///
    /// # Errors
    ///
    /// As [`Client::call`]; `RESOURCE_EXHAUSTED` if the request is over the limit.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the call is cancelled.
    pub fn call_with_request(
        &self,
        path: impl Into<Arc<str>>,
        metadata: Metadata,
        request: Bytes,
        options: CallOptions,
    ) -> impl Future<Output = Result<(Sender, Receiver), CallError>> + Send {
        let call = OutgoingCall {
            path: path.into(),
            metadata,
            options,
        };
        self.start(call, Some(request))
    }

    #[expect(
        clippy::manual_async_fn,
        reason = "what an `async fn` is given it has room for twice, and each call pays for that"
    )]
    fn start(
        &self,
        mut call: OutgoingCall,
        request: Option<Bytes>,
    ) -> impl Future<Output = Result<(Sender, Receiver), CallError>> + Send {
        async move {
            let only = request.as_ref().map(Bytes::len);
            let Some(chain) = self.inner.interceptors.of(&call.path) else {
                return self.open(call, request, only).await;
            };
            call.options = self.inner.policies.plan(&call.path, call.options).0;
            let timeout = call.options.timeout;
            let next = ClientNext::new(chain, self.clone(), only);
            // Boxed, so that the calls of others need not have room for it.
            let halves = Box::pin(next.run_within(call, timeout)).await?;
            if let Some(request) = request {
                send_only(&halves.0, request)?;
            }
            Ok(halves)
        }
    }

    /// Opens a call that has passed the interceptors. `only` is the size of its only request, if that is known: `request`,
    /// or what the caller sends as soon as this is done.
    pub(crate) fn open(
        &self,
        call: OutgoingCall,
        request: Option<Bytes>,
        only: Option<usize>,
    ) -> impl Future<Output = Result<(Sender, Receiver), CallError>> + Send {
        let (halves, headers, plan) = self.begin(call, only);
        let sent = request.map_or(Ok(()), |request| send_only(&halves.0, request));
        async move {
            sent?;
            let outbound = self.enter(&halves).await?;
            let mut opening = self.inner.policies.open(plan, headers, outbound);
            // Most streams are opened at once, and need nobody to tell that the call ends meanwhile.
            let opened = match poll_fn(|cx| Poll::Ready(opening.as_mut().poll(cx))).await {
                Poll::Ready(opened) => opened,
                Poll::Pending => unless_ended(&halves, opening).await?,
            };
            let call = halves.0.call();
            match opened {
                Ok(stream) => call.set_inbound(stream),
                Err(status) => {
                    call.cancel(status.clone());
                    return Err(CallError::local(status));
                }
            }
            Ok(halves)
        }
    }

    /// A call that the transport does not have yet: what it is given now goes out with its headers.
    fn begin(
        &self,
        call: OutgoingCall,
        only: Option<usize>,
    ) -> ((Sender, Receiver), RequestHeaders, Plan) {
        let inner = &*self.inner;
        let OutgoingCall {
            path,
            mut metadata,
            options,
        } = call;
        let (options, plan) = inner.policies.plan(&path, options);
        let call = Shared::new(Side::Client, &options.config(), inner.clock, None);
        if options.timeout.is_some() {
            call.start_timer(&Handle::current());
        }
        call.look(|state| state.call.announce(&mut metadata));
        let headers = RequestHeaders {
            path,
            metadata,
            timeout: options.timeout,
            wait_for_ready: options.wait_for_ready.unwrap_or(false),
        };
        if let Some(bytes) = only {
            let kept = inner.policies.keep(&plan, &headers, bytes);
            call.look(|state| state.kept = kept);
        }
        let receiver = Receiver::new(Arc::clone(&call));
        ((Sender::new(call), receiver), headers, plan)
    }

    /// Waits until calls can go, and says what this one has to send.
    async fn enter(&self, halves: &(Sender, Receiver)) -> Result<Outbound, CallError> {
        let (sender, receiver) = halves;
        let inner = &*self.inner;
        if *inner.phase.borrow() != Phase::Running {
            let running = Box::pin(unless_ended(halves, inner.running()));
            running.await??;
        }
        inner.calls.add(sender.call(), None);
        // Stopped in between: then nobody saw this call in the registry.
        if *inner.phase.borrow() == Phase::Stopped {
            return Err(precondition("the client is stopped").into());
        }
        if sender.is_ended() {
            return Err(ended_early(receiver));
        }
        Ok(Outbound::new(Arc::clone(sender.call())))
    }

    /// A call of one request and one response.
    ///
    /// # Errors
    ///
    /// The status of the server, or of what went wrong before it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the call is cancelled.
    pub async fn unary(
        &self,
        path: impl Into<Arc<str>>,
        metadata: Metadata,
        request: Bytes,
        options: CallOptions,
    ) -> Result<Bytes, Status> {
        let options = CallOptions {
            shape: Shape::Unary,
            ..options
        };
        let call = self.call_with_request(path, metadata, request, options);
        let (_sender, mut receiver) = call.await?;
        let mut messages = Vec::new();
        while receiver.next_batch(&mut messages).await? > 0 {}
        // The machine lets no unary call succeed without its one response.
        let missing = || Status::new(Code::Internal, "the response is missing");
        messages.pop().ok_or_else(missing)
    }
}

/// A client that is being put together.
#[must_use]
pub struct ClientBuilder {
    transport: Arc<dyn ClientTransport>,
    config: ServiceConfig,
    interceptors: Chains<dyn ClientInterceptor>,
}

impl ClientBuilder {
    /// The bounds and policies of the methods that it calls. Default: none.
    pub fn service_config(self, config: ServiceConfig) -> Self {
        Self { config, ..self }
    }

    /// Has an interceptor see the calls of the methods that `filter` admits, after those that were added before.
    pub fn intercept(mut self, filter: Filter, interceptor: impl ClientInterceptor) -> Self {
        self.interceptors.add(filter, Arc::new(interceptor));
        self
    }

    /// The client, which is not connected yet.
    pub fn build(self) -> Client {
        let clock = Clock::new();
        Client {
            inner: Arc::new(Inner {
                policies: Arc::new(Policies::new(
                    Arc::clone(&self.transport),
                    self.config,
                    clock,
                )),
                transport: self.transport,
                interceptors: self.interceptors,
                phase: watch::Sender::new(Phase::NotStarted),
                calls: Arc::new(Registry::default()),
                clock,
            }),
        }
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").finish_non_exhaustive()
    }
}

/// Sends a call's only request, and says that it is the last.
fn send_only(sender: &Sender, request: Bytes) -> Result<(), CallError> {
    match sender.try_send(request) {
        // An ended call says why where it is received.
        Ok(()) | Err(SendError::Ended) => {}
        Err(error) => {
            sender.cancel();
            let status = Status::new(Code::ResourceExhausted, error.to_string());
            return Err(CallError::local(status));
        }
    }
    let _ = sender.finish(Ok(()), Metadata::new());
    Ok(())
}

impl Inner {
    async fn running(&self) -> Result<(), Status> {
        let mut phase = self.phase.subscribe();
        let phase = phase.wait_for(|phase| *phase != Phase::NotStarted).await;
        match phase.as_deref() {
            Ok(Phase::Running) => Ok(()),
            Ok(Phase::NotStarted | Phase::Stopping | Phase::Stopped) | Err(_) => {
                Err(precondition("the client is stopping or stopped"))
            }
        }
    }
}

/// However `connect` ends, nothing of the client runs on.
struct StopClient<'a>(&'a Inner);

impl Drop for StopClient<'_> {
    fn drop(&mut self) {
        self.0.phase.send_replace(Phase::Stopped);
        for call in self.0.calls.open() {
            call.cancel(Status::new(Code::Cancelled, "the client was stopped"));
        }
        self.0.transport.begin_graceful_shutdown();
    }
}

/// What comes of this, unless the call ends first.
async fn unless_ended<T>(
    (sender, receiver): &(Sender, Receiver),
    future: impl Future<Output = T>,
) -> Result<T, CallError> {
    tokio::select! {
        biased;
        () = sender.ended() => Err(ended_early(receiver)),
        result = future => Ok(result),
    }
}

fn ended_early(receiver: &Receiver) -> CallError {
    let Some(ended) = receiver.ended() else {
        return CallError::local(Status::new(Code::Cancelled, "the call ended"));
    };
    let status = ended.trailers.outcome.err();
    CallError {
        status: status.unwrap_or_else(|| Status::new(Code::Internal, "ended before it began")),
        // A call that was never open has no status of its server.
        by: if ended.by == EndedBy::Status {
            EndedBy::Violation
        } else {
            ended.by
        },
    }
}

fn precondition(message: &str) -> Status {
    Status::new(Code::FailedPrecondition, message)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
