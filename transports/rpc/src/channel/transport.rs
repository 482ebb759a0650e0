//! The channel, as calls see it.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use headwater_core::balance::{Balancer, ConnectionId, Pick, Picker, State};
use headwater_proto::{Code, Status};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    ChannelConfig, Connector, Resolver, Resolvers, Unopened,
    driver::Driver,
    link::{Link, NotOpened, Stream},
    usage::Usage,
};
use crate::{
    clock::Clock,
    service_config::ServiceConfig,
    transport::{ClientTransport, Inbound, Opening, Outbound, RequestHeaders},
};

/// Connections to all that a name stands for, as one [`ClientTransport`]. Clones share it: one goes into a
/// [`Client`](crate::Client), another watches.
///
/// Calls go to connections that are ready, as the [policy](super::Policy) chooses. While there is none, they wait, in
/// bounded number, until their deadline. Once nothing could be reached they fail at once with `UNAVAILABLE` and the last
/// error, except for those that wait for ready. A call that a connection did not take is given to another one.
///
/// A connection whose address is gone, that its server closes gracefully, or that idles, takes no new calls and ends with
/// its last one.
#[derive(Clone)]
pub struct Channel {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) config: ChannelConfig,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) clock: Clock,
    pub(super) usage: Arc<Usage>,
    /// What calls are picked by.
    pub(super) picker: watch::Sender<Picker<Arc<Link>>>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) requests: Requests,
    pub(super) service_config: watch::Sender<Arc<ServiceConfig>>,
    resolver: Mutex<Option<Box<dyn Resolver>>>,
    turn: AtomicUsize,
    waiting: AtomicUsize,
}

/// How far the channel has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// No call waits any more.
    Refusing,
    Stopping,
}

/// What calls ask of the driver.
#[derive(Default)]
pub(super) struct Requests {
    pub(super) made: Notify,
    lost: Mutex<Vec<(ConnectionId, Status)>>,
}

impl Requests {
    /// The connections that turned out to take no streams.
    pub(super) fn take_lost(&self) -> Vec<(ConnectionId, Status)> {
        std::mem::take(&mut *lock(&self.lost))
    }

    fn lost(&self, id: ConnectionId, status: &Status) {
        let mut lost = lock(&self.lost);
        if !lost.iter().any(|(known, _)| *known == id) {
            lost.push((id, status.clone()));
        }
        drop(lost);
        self.made.notify_one();
    }
}

impl Channel {
    /// A channel to what this target stands for, by the resolvers of [`Resolvers::default`]. Nothing is connected before
    /// [`ClientTransport::connect`] runs.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is no target.
    pub fn to(
        target: &str,
        connector: impl Connector,
        config: ChannelConfig,
    ) -> Result<Self, Status> {
        let resolver = Resolvers::default().resolver(target)?;
        Ok(Self::new(resolver, connector, config))
    }

    /// A channel to the addresses that this resolver says.
    pub fn new(
        resolver: Box<dyn Resolver>,
        connector: impl Connector,
        config: ChannelConfig,
    ) -> Self {
        let clock = Clock::new();
        Self {
            inner: Arc::new(Inner {
                config,
                connector: Arc::new(connector),
                clock,
                usage: Usage::new(clock),
                picker: watch::Sender::new(Picker::idle()),
                phase: watch::Sender::new(Phase::Running),
                requests: Requests::default(),
                service_config: watch::Sender::default(),
                resolver: Mutex::new(Some(resolver)),
                turn: AtomicUsize::new(0),
                waiting: AtomicUsize::new(0),
            }),
        }
    }

    /// Whether calls can go.
    pub fn state(&self) -> State {
        self.inner.picker.borrow().state()
    }

    /// Waits until the state is another one than this, and returns it. States that last for a moment only may be missed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn state_change(&self, from: State) -> State {
        let mut picker = self.inner.picker.subscribe();
        let changed = picker.wait_for(|picker| picker.state() != from).await;
        // The sender is part of `self`, so it cannot be gone.
        changed.map_or(State::Shutdown, |picker| picker.state())
    }

    /// Connects without a call, if the channel idles.
    pub fn wake(&self) {
        self.inner.requests.made.notify_one();
    }

    /// What the resolver said last about how to call methods; empty if it said nothing of that.
    pub fn service_config(&self) -> watch::Receiver<Arc<ServiceConfig>> {
        self.inner.service_config.subscribe()
    }
}

impl Inner {
    pub(super) fn balancer<A: Clone + Ord>(&self) -> Balancer<A> {
        let seed = self.config.seed;
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        Balancer::new(self.config.balancer, seed)
    }

    fn enter(&self, next: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = next > *phase;
            *phase = next.max(*phase);
            later
        });
    }

    /// A connection for a call, if it need not wait for one.
    fn pick(&self, wait_for_ready: bool) -> Option<Result<Arc<Link>, Status>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        match self.picker.borrow().pick(turn, wait_for_ready) {
            Pick::Ready(link) => Some(Ok(Arc::clone(link))),
            Pick::Fail(status) => Some(Err(status)),
            Pick::Wait => None,
        }
    }

    async fn pick_later(&self, wait_for_ready: bool) -> Result<Arc<Link>, Status> {
        let _waiting = Waiting::begin(self)?;
        let mut changes = self.picker.subscribe();
        let mut phase = self.phase.subscribe();
        loop {
            // Only what comes after this look is a change.
            let state = changes.borrow_and_update().state();
            if let Some(picked) = self.pick(wait_for_ready) {
                return picked;
            }
            if *phase.borrow() != Phase::Running {
                return Err(stopping());
            }
            if state == State::Idle {
                self.requests.made.notify_one();
            }
            // The senders are part of `self`, so they cannot be gone.
            tokio::select! {
                _ = changes.changed() => {}
                _ = phase.changed() => {}
            }
        }
    }

    /// Has a connection that took no stream replaced, and waits until it is no choice any more.
    async fn replace(&self, link: &Link, status: &Status) {
        self.requests.lost(link.id, status);
        let mut changes = self.picker.subscribe();
        let is_gone = |picker: &Picker<Arc<Link>>| picker.ready().iter().all(|it| it.id != link.id);
        let _ = changes.wait_for(is_gone).await;
    }
}

/// A client transport that is a [`Channel`] and what its stack knows beside it: as a [`ClientTransport`] it is the channel.
pub trait OverChannel: Send + Sync + 'static {
    /// The channel.
    fn channel(&self) -> &Channel;
}

#[async_trait]
impl<T: OverChannel> ClientTransport for T {
    async fn connect(&self) -> Result<(), Status> {
        self.channel().connect().await
    }

    fn begin_graceful_shutdown(&self) {
        self.channel().begin_graceful_shutdown();
    }

    fn refuse_waiting(&self) {
        self.channel().refuse_waiting();
    }

    fn service_config(&self) -> Option<watch::Receiver<Arc<ServiceConfig>>> {
        ClientTransport::service_config(self.channel())
    }

    // Written out, since an `async fn` would be one more box around the channel's.
    fn open<'transport, 'run>(
        &'transport self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Opening<'run>
    where
        'transport: 'run,
        Self: 'run,
    {
        self.channel().open(headers, outbound)
    }
}

#[async_trait]
impl ClientTransport for Channel {
    /// Returns when the channel was told to stop and no stream is open; in back-off too. Dropping it breaks all
    /// connections.
    async fn connect(&self) -> Result<(), Status> {
        let resolver = lock(&self.inner.resolver).take();
        let resolver = resolver.ok_or_else(|| {
            Status::new(Code::FailedPrecondition, "the channel was started before")
        })?;
        Driver::new(&self.inner).run(resolver).await;
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        self.inner.enter(Phase::Stopping);
    }

    fn refuse_waiting(&self) {
        self.inner.enter(Phase::Refusing);
    }

    fn service_config(&self) -> Option<watch::Receiver<Arc<ServiceConfig>>> {
        Some(self.inner.service_config.subscribe())
    }

    async fn open(
        &self,
        mut headers: RequestHeaders,
        mut outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        let inner = &*self.inner;
        let in_use = inner.usage.begin();
        let wait_for_ready = headers.wait_for_ready;
        let mut delayed = false;
        loop {
            let link = match inner.pick(wait_for_ready) {
                Some(picked) => picked?,
                None => {
                    delayed = true;
                    // Boxed, so that calls that need not wait need not have room for it.
                    Box::pin(inner.pick_later(wait_for_ready)).await?
                }
            };
            if delayed && let Some(deadline) = outbound.deadline() {
                // What the server is told is what is left.
                headers.timeout = Some(deadline.saturating_duration_since(Instant::now()));
            }
            match link.open(headers, outbound).await {
                Ok(inbound) => return Ok(Box::new(Stream::new(inbound, link, in_use))),
                Err(NotOpened::Stopped) => return Err(stopping()),
                Err(NotOpened::Again(unopened)) => {
                    let status;
                    Unopened {
                        status,
                        headers,
                        outbound,
                    } = unopened;
                    Box::pin(inner.replace(&link, &status)).await;
                    delayed = true;
                }
            }
        }
    }
}

/// One of the bounded number of calls that wait.
struct Waiting<'a>(&'a Inner);

impl<'a> Waiting<'a> {
    fn begin(inner: &'a Inner) -> Result<Self, Status> {
        let before = inner.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = Self(inner);
        if before < inner.config.waiting_calls_max {
            return Ok(waiting);
        }
        let message = "too many calls wait for a connection";
        Err(Status::new(Code::Unavailable, message))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

fn stopping() -> Status {
    Status::new(
        Code::FailedPrecondition,
        "the client is stopping or stopped",
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each is replaced as a whole, so none is ever half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
