//! A client's policies: which one a call has, and what the calls share.

use std::{
    future::ready,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use headwater_core::policy::{
    Codes, ExecutionPolicy, ServiceConfig, Throttle,
    attempts::{Attempts, RetryCounters},
};
use tokio::sync::watch;

use super::{
    RetryConfig,
    budget::{Budget, Share},
    driver::Driver,
    response::Tally,
};
use crate::{
    client::CallOptions,
    clock::Clock,
    service_config,
    transport::{ClientTransport, Opening, Outbound, RequestHeaders},
};

/// What a client does about calls that fail.
pub(crate) struct Policies {
    pub(super) transport: Arc<dyn ClientTransport>,
    /// What the transport brings, once it does.
    brought: Option<watch::Receiver<Arc<ServiceConfig>>>,
    state: RwLock<State>,
    seed: AtomicU64,
    budget: Arc<Budget>,
    pub(super) totals: Arc<Totals>,
    pub(super) clock: Clock,
}

struct State {
    /// What the client was given.
    own: Arc<ServiceConfig>,
    /// What holds now: the own one, unless the transport brought another.
    active: Arc<ServiceConfig>,
    throttle: Arc<Mutex<Throttle>>,
    retry: RetryConfig,
}

/// What became of all calls of a client.
#[derive(Default)]
pub(super) struct Totals(Mutex<RetryCounters>);

impl Totals {
    /// Adds what became of a call.
    pub(super) fn add(&self, counted: RetryCounters) {
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        totals.add(&counted);
    }
}

impl Policies {
    pub(crate) fn new(
        transport: Arc<dyn ClientTransport>,
        config: ServiceConfig,
        clock: Clock,
    ) -> Self {
        let throttle = Throttle::new(config.retry_throttling);
        let own = Arc::new(config);
        Self {
            brought: transport.service_config(),
            transport,
            state: RwLock::new(State {
                active: Arc::clone(&own),
                own,
                throttle: Arc::new(Mutex::new(throttle)),
                retry: RetryConfig::default(),
            }),
            seed: AtomicU64::new(unguessable()),
            budget: Arc::default(),
            totals: Arc::default(),
            clock,
        }
    }

    pub(crate) fn set_service_config(&self, config: ServiceConfig) {
        let mut state = self.write();
        state.own = Arc::new(config);
        let own = Arc::clone(&state.own);
        state.activate(self.brought().unwrap_or(own));
    }

    pub(crate) fn set_retry_config(&self, config: RetryConfig) {
        let seed = config.seed.unwrap_or_else(unguessable);
        self.seed.store(seed, Ordering::Relaxed);
        self.write().retry = config;
    }

    pub(crate) fn counters(&self) -> RetryCounters {
        *self.totals.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration that the transport has brought. An empty one is none.
    fn brought(&self) -> Option<Arc<ServiceConfig>> {
        let brought = Arc::clone(&self.brought.as_ref()?.borrow());
        Some(brought).filter(|config| !config.is_empty())
    }

    /// What holds for the call that begins now: its options with what is configured for its method, and its policy.
    pub(crate) fn plan(&self, path: &str, options: CallOptions) -> (CallOptions, Plan) {
        if self.brought.is_some() {
            self.take_in_brought();
        }
        let state = self.read();
        let options = service_config::apply(state.active.method(path), options);
        let policy = options.execution;
        // Also a call without a policy shows how the server fares (gRFC A6, "Throttling Retry Attempts").
        let counted = state.active.retry_throttling.is_some();
        let tally = (counted || policy.is_some()).then(|| {
            let codes = policy.map_or(Codes::NONE, |policy| policy.codes());
            state.tally(codes)
        });
        let own_max = options.retry_buffer_bytes_max;
        let buffer_bytes_max = own_max.unwrap_or(state.retry.call_buffer_bytes_max);
        let plan = Plan {
            policy,
            tally,
            buffer_bytes_max,
        };
        (options, plan)
    }

    fn take_in_brought(&self) {
        let state = self.read();
        let wanted = self.brought().unwrap_or_else(|| Arc::clone(&state.own));
        if Arc::ptr_eq(&wanted, &state.active) {
            return;
        }
        drop(state);
        self.write().activate(wanted);
    }

    /// Opens a call by its plan.
    pub(crate) fn open(
        &self,
        plan: Plan,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Opening<'_> {
        let transport = &self.transport;
        match (plan.policy, plan.tally) {
            (_, None) => transport.open(headers, outbound),
            (None, Some(tally)) => Box::pin(async move {
                let inbound = transport.open(headers, outbound).await?;
                Ok(tally.counting(inbound))
            }),
            (Some(policy), Some(tally)) => {
                let attempts = self.attempts(&policy);
                let share = self.share(plan.buffer_bytes_max);
                let (driver, response) =
                    Driver::new(self, attempts, tally, share, headers, outbound);
                tokio::spawn(driver);
                Box::pin(ready(Ok(response)))
            }
        }
    }

    pub(super) fn tally(&self, policy: &ExecutionPolicy) -> Tally {
        self.read().tally(policy.codes())
    }

    pub(super) fn attempts(&self, policy: &ExecutionPolicy) -> Attempts {
        let attempts_max = self.read().retry.attempts_max;
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        Attempts::new(policy, attempts_max, seed, self.clock.now())
    }

    /// A part of what all calls may keep, of which this call has so much at most.
    pub(super) fn share(&self, call_max: usize) -> Share {
        let channel_max = self.read().retry.channel_buffer_bytes_max;
        Share::new(Arc::clone(&self.budget), call_max, channel_max)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tally(&self, codes: Codes) -> Tally {
        let counted = self.active.retry_throttling.is_some();
        Tally::new(Arc::clone(&self.throttle), codes, counted)
    }

    /// Calls from now on have this. The tokens are kept where their configuration stays the same, for else every change of
    /// a timeout would forgive all failures.
    fn activate(&mut self, config: Arc<ServiceConfig>) {
        if config.retry_throttling != self.active.retry_throttling {
            let throttle = Throttle::new(config.retry_throttling);
            self.throttle = Arc::new(Mutex::new(throttle));
        }
        self.active = config;
    }
}

/// How one call is sent.
pub(crate) struct Plan {
    pub(super) policy: Option<ExecutionPolicy>,
    /// `None` if there is nothing to decide and nothing to count.
    tally: Option<Tally>,
    /// What the call may keep.
    pub(super) buffer_bytes_max: usize,
}

/// What std seeds its maps with.
fn unguessable() -> u64 {
    RandomState::new().hash_one(0)
}
