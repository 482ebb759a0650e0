//! An upstream that runs: dials, registers, serves, dials again.

use std::{
    fmt,
    future::{pending, poll_fn},
    hash::{BuildHasher as _, RandomState},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::SystemTime,
};

use headwater_core::{Time, link::upstream::Input};
use headwater_proto::{Code, Status};
use headwater_rpc::Client;
use headwater_transports::{ClientOptions, Url, client};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    Handler, Hub, UpstreamConfig,
    config::ConfigError,
    engine::{Engine, Signal},
    session::Step,
    token,
    wire::{Wire, dial, is_final},
};

/// How long a connection may take to close when an upstream leaves.
const LINGER: std::time::Duration = std::time::Duration::from_secs(1);

/// An application that serves one hub of a service.
///
/// ```no_run
/// # use headwater_upstream::{Handler, Upstream, UpstreamConfig};
/// # struct Chat;
/// # impl Handler for Chat {}
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let config = UpstreamConfig {
///     hub: "chat".into(),
///     connection_string: Some("Endpoint=http://127.0.0.1:8080;AccessKey=…".parse()?),
///     ..UpstreamConfig::default()
/// };
/// let upstream = Upstream::new(config, Chat)?;
/// let hub = upstream.hub();                   // for commands from outside of the handlers
/// upstream.run_until(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?;
/// # Ok(())
/// # }
/// ```
pub struct Upstream {
    config: UpstreamConfig,
    target: Target,
    engine: Engine,
    started: Instant,
}

enum Target {
    Url(Url, Box<ClientOptions>),
    Client(Client),
}

/// Why an upstream gave up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The service refused the first registration in a way that trying again does not heal, such as `UNAUTHENTICATED`.
    /// Once a registration was up, every end is tried again.
    #[error("the service refused the registration: {0}")]
    Refused(Status),
}

/// How one call to the service ended.
struct Ended {
    outcome: Result<(), Status>,
    registered: bool,
    stopping: bool,
}

impl Upstream {
    /// An upstream that reaches its service by [`UpstreamConfig::url`]. The files of TLS are read, to be sure that they can
    /// be used, and again whenever it dials.
    ///
    /// # Errors
    ///
    /// The configuration names no hub, or a place where this build cannot go, or TLS cannot be used as configured.
    pub fn new(config: UpstreamConfig, handler: impl Handler) -> Result<Self, ConfigError> {
        let options = config.client_options();
        let _ = client(&config.url, &options).map_err(ConfigError::Url)?;
        let url = Url::parse(&config.url).map_err(ConfigError::Url)?;
        let target = Target::Url(url, Box::new(options));
        Self::with_target(config, target, handler)
    }

    /// An upstream that reaches its service by this client, such as one of an in-process pair. The upstream runs the
    /// client ([`Client::connect`]), unless somebody else does; then several upstreams may share it.
    ///
    /// # Errors
    ///
    /// The configuration names no hub.
    pub fn over(
        client: Client,
        config: UpstreamConfig,
        handler: impl Handler,
    ) -> Result<Self, ConfigError> {
        Self::with_target(config, Target::Client(client), handler)
    }

    fn with_target(
        config: UpstreamConfig,
        target: Target,
        handler: impl Handler,
    ) -> Result<Self, ConfigError> {
        let engine = Engine::new(config.link()?, config.bounds(), Arc::new(handler));
        Ok(Self {
            config,
            target,
            engine,
            started: Instant::now(),
        })
    }

    /// The hub, for commands from outside of the handlers. They are taken while a registration is up
    /// ([`Hub::registered`]).
    pub fn hub(&self) -> Hub {
        self.engine.hub().clone()
    }

    /// Serves until this is dropped, which breaks the link and drops the handlers that run.
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    pub async fn run(self) -> Result<(), RunError> {
        self.run_until(pending()).await
    }

    /// Serves until `stop` is over, and then gracefully: no new events are taken, running handlers end and are answered,
    /// results are waited for; no longer than [`UpstreamConfig::drain_timeout`].
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it breaks the link and drops the handlers that run.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let mut stop = pin!(stop);
        let seed = self.config.seed;
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one("jitter"));
        let mut waits = self.config.back_off.waits(seed);
        let mut ever_registered = false;
        // Dropped, it ends what runs the client.
        let mut connecting = JoinSet::new();
        if let Target::Client(client) = &self.target {
            let client = client.clone();
            // It fails if somebody else runs it, which is as good.
            connecting.spawn(async move { client.connect().await });
        }
        loop {
            let ended = self.link(stop.as_mut()).await;
            ever_registered |= ended.registered;
            if ended.stopping {
                return Ok(());
            }
            if ended.registered {
                waits.reset();
            }
            let status = match ended.outcome {
                Ok(()) => Status::new(Code::Unavailable, "the service ended the link"),
                Err(status) if !ever_registered && is_final(&status) => {
                    return Err(RunError::Refused(status));
                }
                Err(status) => status,
            };
            let wait = waits.next_wait();
            tracing::warn!(hub = self.engine.hub().name(), %status, ?wait, "no link: dialling again");
            tokio::select! {
                biased;
                () = stop.as_mut() => return Ok(()),
                () = at(Instant::now().checked_add(wait)) => {}
                () = run_handlers(&mut self.engine, self.started) => {}
            }
        }
    }

    /// One call, from dialling to its end.
    async fn link(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) -> Ended {
        // Dropped, it ends what runs the client.
        let mut connecting = JoinSet::new();
        let client = match &self.target {
            Target::Client(client) => client.clone(),
            Target::Url(url, options) => match dial(url, options).await {
                Ok(client) => {
                    let runs = client.clone();
                    connecting.spawn(async move { runs.connect().await });
                    client
                }
                Err(status) => return Ended::unregistered(Err(status)),
            },
        };
        let call = Wire::open(client.clone(), self.token(), &self.config);
        let call = timeout(self.config.register_timeout, call);
        let opened = tokio::select! {
            biased;
            () = stop.as_mut() => return Ended { stopping: true, ..Ended::unregistered(Ok(())) },
            opened = call => opened,
            () = run_handlers(&mut self.engine, self.started) => return Ended::unregistered(Ok(())),
        };
        let wire = match opened {
            Ok(Ok(wire)) => wire,
            Ok(Err(status)) => return Ended::unregistered(Err(status)),
            Err(_) => {
                let status = Status::new(Code::Unavailable, "the service does not open the call");
                return Ended::unregistered(Err(status));
            }
        };
        let now = self.now();
        self.engine.handle(Input::Opened, now);
        let mut ended = self.serve(wire, stop).await;
        // Also where the end came with it.
        ended.registered |= self.engine.link().is_registered();
        let now = self.now();
        self.engine.handle(Input::Closed, now);
        self.engine.drain_link();
        if ended.stopping {
            leave(&client, connecting).await;
        }
        ended
    }

    fn token(&self) -> Option<String> {
        let connection = self.config.connection_string.as_ref()?;
        let hub = self.engine.hub().name();
        let lifetime = self.config.token_lifetime;
        let bound_to = token::BoundTo::Hub(hub);
        match token::mint(connection, bound_to, lifetime, SystemTime::now()) {
            Ok(token) => Some(token),
            Err(error) => {
                tracing::error!(%error, "no token could be made");
                None
            }
        }
    }

    async fn serve(
        &mut self,
        mut wire: Wire,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Ended {
        let mut ended = Ended::unregistered(Ok(()));
        let mut refresh = self.next_refresh();
        let mut half_close: Option<Instant> = None;
        let mut give_up: Option<Instant> = None;
        loop {
            let started = self.started;
            let engine = &mut self.engine;
            let deadline = engine.deadline();
            let deadline = deadline.and_then(|it| started.checked_add(it.at.since_start()));
            let blocked = wire.blocked().cloned();
            let step = tokio::select! {
                biased;
                step = poll_fn(|cx| {
                    wire.poll(engine, Time::after_start(started.elapsed()), cx)
                }) => step,
                () = at(deadline) => {
                    let now = self.now();
                    self.engine.handle(Input::Timeout, now);
                    continue;
                }
                () = stop.as_mut(), if !ended.stopping => {
                    ended.stopping = true;
                    give_up = self.give_up_at();
                    if !ended.registered {
                        wire.abort(Status::new(Code::Cancelled, "the upstream stops"));
                        return ended;
                    }
                    self.engine.link().drain();
                    continue;
                }
                () = writable(blocked) => {
                    wire.unblock();
                    continue;
                }
                () = at(refresh) => {
                    if let Some(token) = self.token() {
                        self.engine.link().authenticate(token);
                    }
                    refresh = self.next_refresh();
                    continue;
                }
                () = at(half_close) => {
                    half_close = None;
                    wire.half_close();
                    continue;
                }
                () = at(give_up) => {
                    wire.abort(Status::new(Code::Cancelled, "the upstream stops"));
                    return ended;
                }
            };
            match step {
                Step::Ended(outcome) => {
                    ended.outcome = outcome;
                    return ended;
                }
                Step::Changed(None) => {}
                Step::Changed(Some(Signal::Registered)) => ended.registered = true,
                Step::Changed(Some(Signal::Draining { reconnect_within })) => {
                    tracing::info!(?reconnect_within, "the service leaves");
                    self.engine.link().drain();
                    give_up = give_up.or_else(|| self.give_up_at());
                }
                Step::Changed(Some(Signal::Drained)) => {
                    half_close.get_or_insert(Instant::now() + wire.linger());
                }
                Step::Changed(Some(Signal::Close(violation))) => {
                    wire.abort(violation.status());
                    ended.outcome = Err(violation.status());
                    return ended;
                }
            }
        }
    }

    fn now(&self) -> Time {
        Time::after_start(self.started.elapsed())
    }

    /// When a graceful stop that begins now is over; `None` if it may take for ever.
    fn give_up_at(&self) -> Option<Instant> {
        Instant::now().checked_add(self.config.drain_timeout)
    }

    fn next_refresh(&self) -> Option<Instant> {
        self.config.connection_string.as_ref()?;
        Some(Instant::now() + token::renewal(self.config.token_lifetime))
    }
}

impl Ended {
    const fn unregistered(outcome: Result<(), Status>) -> Self {
        Self {
            outcome,
            registered: false,
            stopping: false,
        }
    }
}

/// Closes the connection that `connecting` holds, if it does. Over UDP nobody does so for a process that just ends, and its
/// service would count it in for a while.
async fn leave(client: &Client, mut connecting: JoinSet<Result<(), Status>>) {
    if connecting.is_empty() {
        return;
    }
    client.begin_graceful_shutdown();
    // Too late is as good as dropped.
    let _ = timeout(LINGER, connecting.join_next()).await;
}

/// Lets handlers go on while there is no call. Never done.
async fn run_handlers(engine: &mut Engine, started: Instant) {
    poll_fn(|cx| {
        engine.poll(Time::after_start(started.elapsed()), cx);
        Poll::Pending
    })
    .await
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}

async fn writable(sender: Option<headwater_rpc::Sender>) {
    match sender {
        Some(sender) => sender.writable().await,
        None => pending().await,
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
