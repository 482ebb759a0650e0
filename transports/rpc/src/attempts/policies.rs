//! A client's policies: which one a call has, and what the calls share.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use headwater_core::policy::{
    Codes, ExecutionPolicy, ServiceConfig, Throttle,
    attempts::{Attempts, RetryCounters},
};
use headwater_proto::Status;
use tokio::sync::{oneshot, watch};

use super::{
    RetryConfig,
    budget::{Budget, Share},
    driver::Driver,
    replay::Replay,
    response::{Response, Tally},
};
use crate::{
    client::CallOptions,
    service_config,
    shared::Clock,
    transport::{ClientTransport, Inbound, Outbound, RequestHeaders},
};

/// What a client does about calls that fail.
pub(crate) struct Policies {
    /// What the transport brings, once it does.
    brought: Option<watch::Receiver<Arc<ServiceConfig>>>,
    state: RwLock<State>,
    retry: RwLock<RetryConfig>,
    seed: AtomicU64,
    budget: Arc<Budget>,
    totals: Arc<Totals>,
    clock: Clock,
}

struct State {
    /// What the client was given.
    own: Arc<ServiceConfig>,
    /// What holds now: the own one, unless the transport brought another.
    active: Arc<ServiceConfig>,
    throttle: Arc<Mutex<Throttle>>,
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
        transport: &dyn ClientTransport,
        config: ServiceConfig,
        clock: Clock,
    ) -> Self {
        let throttle = Throttle::new(config.retry_throttling);
        let own = Arc::new(config);
        Self {
            brought: transport.service_config(),
            state: RwLock::new(State {
                active: Arc::clone(&own),
                own,
                throttle: Arc::new(Mutex::new(throttle)),
            }),
            retry: RwLock::default(),
            seed: AtomicU64::new(unguessable()),
            budget: Arc::default(),
            totals: Arc::default(),
            clock,
        }
    }

    pub(crate) fn set_service_config(&self, config: ServiceConfig) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.own = Arc::new(config);
        let own = Arc::clone(&state.own);
        state.activate(self.brought().unwrap_or(own));
    }

    pub(crate) fn set_retry_config(&self, config: RetryConfig) {
        let seed = config.seed.unwrap_or_else(unguessable);
        self.seed.store(seed, Ordering::Relaxed);
        *self.retry.write().unwrap_or_else(PoisonError::into_inner) = config;
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
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let options = service_config::apply(state.active.method(path), options);
        let policy = options.execution;
        // Also a call without a policy shows how the server fares (gRFC A6, "Throttling Retry Attempts").
        let counted = state.active.retry_throttling.is_some();
        let tally = (counted || policy.is_some()).then(|| {
            let codes = policy.map_or(Codes::NONE, |policy| policy.codes());
            Tally::new(Arc::clone(&state.throttle), codes, counted)
        });
        let buffer_bytes_max = options.retry_buffer_bytes_max;
        let plan = Plan {
            policy,
            tally,
            buffer_bytes_max,
        };
        (options, plan)
    }

    fn take_in_brought(&self) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.brought().unwrap_or_else(|| Arc::clone(&state.own));
        if Arc::ptr_eq(&wanted, &state.active) {
            return;
        }
        drop(state);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.activate(wanted);
    }

    /// Opens a call by its plan.
    pub(crate) async fn open(
        &self,
        plan: Plan,
        transport: &Arc<dyn ClientTransport>,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        match (plan.policy, plan.tally) {
            (_, None) => transport.open(headers, outbound).await,
            (None, Some(tally)) => {
                let inbound = transport.open(headers, outbound).await?;
                Ok(tally.counting(inbound))
            }
            (Some(policy), Some(tally)) => {
                let (answer, response) = oneshot::channel();
                tokio::spawn(Driver {
                    attempts: self.attempts(&policy),
                    replay: Replay::new(outbound, self.share(plan.buffer_bytes_max)),
                    headers,
                    transport: Arc::clone(transport),
                    tally,
                    totals: Arc::clone(&self.totals),
                    clock: self.clock,
                    answer: Some(answer),
                    running: Vec::new(),
                    timer: None,
                });
                Ok(Box::new(Response::Waiting(response)))
            }
        }
    }

    fn attempts(&self, policy: &ExecutionPolicy) -> Attempts {
        let attempts_max = self.retry().attempts_max;
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        Attempts::new(policy, attempts_max, seed, self.clock.now())
    }

    fn share(&self, call_max: Option<usize>) -> Share {
        let retry = self.retry();
        let call_max = call_max.unwrap_or(retry.call_buffer_bytes_max);
        let budget = Arc::clone(&self.budget);
        Share::new(budget, call_max, retry.channel_buffer_bytes_max)
    }

    fn retry(&self) -> RwLockReadGuard<'_, RetryConfig> {
        self.retry.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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
    policy: Option<ExecutionPolicy>,
    /// `None` if there is nothing to decide and nothing to count.
    tally: Option<Tally>,
    buffer_bytes_max: Option<usize>,
}

/// What std seeds its maps with.
fn unguessable() -> u64 {
    RandomState::new().hash_one(0)
}
