//! The machine itself.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    vec::Vec,
};

use headwater_proto::{Code, Status};

use super::{
    BalancerConfig, Calls, ConnectionId, Input, Output, Picker, Policy, State,
    endpoint::{Endpoint, Link},
};
use crate::{
    random::Random,
    time::{Deadline, Time, Why},
};

/// The connections of one client to the addresses of one name. See the [module](super). `A` is an address.
#[derive(Debug)]
pub struct Balancer<A> {
    config: BalancerConfig,
    random: Random,
    now: Time,
    mode: Mode,
    /// In the order in which they are tried.
    endpoints: Vec<Endpoint<A>>,
    /// There are no endpoints, and that was tried.
    unresolved: bool,
    error: Option<Status>,
    /// The last moment at which there were calls, as far as it was told.
    used: Time,
    next_id: u64,
    picker: Picker<ConnectionId>,
    outputs: VecDeque<Output<A>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Idle,
    Active,
    Shutdown,
}

impl<A: Clone + Ord> Balancer<A> {
    /// An idle balancer without addresses, whose jitter and shuffling come from the seed.
    pub const fn new(config: BalancerConfig, seed: u64) -> Self {
        Self {
            config,
            random: Random::new(seed),
            now: Time::ZERO,
            mode: Mode::Idle,
            endpoints: Vec::new(),
            unresolved: false,
            error: None,
            used: Time::ZERO,
            next_id: 0,
            picker: Picker::idle(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened. What is told of an id that is not known any more has no effect.
    pub fn handle(&mut self, input: Input<A>, now: Time) {
        self.now = self.now.max(now);
        if self.mode == Mode::Shutdown {
            return;
        }
        for endpoint in &mut self.endpoints {
            endpoint.expire(self.now);
        }
        match input {
            Input::Resolved(addresses) => self.resolved(addresses),
            Input::Policy(policy) => self.spread_by(policy),
            Input::ResolutionFailed(status) => self.resolution_failed(&status),
            Input::Connected(id) => self.connected(id),
            Input::ConnectFailed(id, status) => self.connect_failed(id, &status),
            Input::Closed(id, status) => self.lost(id, &status),
            Input::Wanted => self.wake(),
            Input::Calls(Calls::Open) => self.used = self.now,
            Input::Calls(Calls::NoneSince(time)) => self.used = self.used.max(time.min(self.now)),
            Input::Timeout => self.timeout(),
            Input::Shutdown => self.shut_down(),
        }
        if self.mode == Mode::Active {
            self.connect_more();
        }
        self.update_picker();
    }

    /// The next thing to do, or `None` if there is nothing.
    pub fn poll_output(&mut self) -> Option<Output<A>> {
        self.outputs.pop_front()
    }

    /// When to call [`Balancer::handle`] with [`Input::Timeout`], and why; at once while outputs wait.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if !self.outputs.is_empty() {
            return Some(Deadline {
                at: self.now,
                why: Why::Drain,
            });
        }
        if self.mode != Mode::Active {
            return None;
        }
        // A `pick_first` that has its connection tries no other.
        let settled = self.picks_first() && self.is_ready();
        let endpoints = self.endpoints.iter().filter(|_| !settled);
        let idle = self.idle_at().map(|at| Deadline { at, why: Why::Idle });
        let deadlines = endpoints.filter_map(Endpoint::deadline).chain(idle);
        deadlines.min_by_key(|deadline| deadline.at)
    }

    fn picks_first(&self) -> bool {
        matches!(self.config.policy, Policy::PickFirst { .. })
    }

    fn is_ready(&self) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.ready().is_some())
    }

    fn idle_at(&self) -> Option<Time> {
        self.config.idle_timeout.map(|timeout| self.used + timeout)
    }

    fn resolved(&mut self, mut addresses: Vec<A>) {
        if self.config.policy == (Policy::PickFirst { shuffle: true }) {
            self.random.shuffle(&mut addresses);
        }
        let old = self.endpoints.drain(..);
        let mut old: BTreeMap<A, Endpoint<A>> = old
            .map(|endpoint| (endpoint.address.clone(), endpoint))
            .collect();
        let mut named = BTreeSet::new();
        for address in addresses {
            if !named.insert(address.clone()) {
                continue;
            }
            let endpoint = old.remove(&address).unwrap_or_else(|| {
                let waits = self.config.back_off.waits(self.random.next());
                Endpoint::new(address, waits)
            });
            self.endpoints.push(endpoint);
        }
        for endpoint in old.into_values() {
            self.outputs.extend(farewell(&endpoint));
        }
        self.unresolved = self.endpoints.is_empty();
        if self.unresolved {
            let none = Status::new(Code::Unavailable, "the name has no address");
            self.error = Some(none);
        }
    }

    fn spread_by(&mut self, policy: Policy) {
        if self.config.policy != policy {
            self.config.policy = policy;
            self.give_up_all();
        }
    }

    fn resolution_failed(&mut self, status: &Status) {
        self.unresolved = self.endpoints.is_empty();
        self.error = Some(unavailable("the name could not be resolved", status));
        if self.mode == Mode::Active {
            self.outputs.push_back(Output::Resolve);
        }
    }

    fn connected(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(endpoint) = find(&mut self.endpoints, |it| it.connecting() == Some(id)) else {
            return;
        };
        endpoint.connected(id, now);
        if self.picks_first() {
            for endpoint in &mut self.endpoints {
                (endpoint.failed, endpoint.tried) = (false, false);
            }
        }
    }

    fn connect_failed(&mut self, id: ConnectionId, status: &Status) {
        let now = self.now;
        let Some(endpoint) = find(&mut self.endpoints, |it| it.connecting() == Some(id)) else {
            return;
        };
        endpoint.failed(now);
        self.error = Some(unavailable("no connection", status));
        if !self.picks_first() {
            self.outputs.push_back(Output::Resolve);
        }
    }

    fn lost(&mut self, id: ConnectionId, status: &Status) {
        let (long, now) = (self.config.back_off.initial, self.now);
        let Some(endpoint) = find(&mut self.endpoints, |it| it.ready() == Some(id)) else {
            return;
        };
        endpoint.lost(long, now);
        self.error = Some(unavailable("the connection was lost", status));
        self.outputs.push_back(Output::Resolve);
        if self.picks_first() {
            self.mode = Mode::Idle;
        }
    }

    fn wake(&mut self) {
        if self.mode == Mode::Idle {
            self.mode = Mode::Active;
            self.used = self.now;
            self.outputs.push_back(Output::Resolve);
        }
    }

    fn timeout(&mut self) {
        if self.mode == Mode::Active && self.idle_at().is_some_and(|at| at <= self.now) {
            self.give_up_all();
            self.mode = Mode::Idle;
            return;
        }
        let (now, timeout) = (self.now, self.config.connect_timeout);
        let too_late = |endpoint: &Endpoint<A>| match endpoint.link {
            Link::Connecting { id, until, .. } if until <= now => Some(id),
            Link::Connecting { .. } | Link::Idle | Link::Ready { .. } | Link::Waiting { .. } => {
                None
            }
        };
        let late: Vec<ConnectionId> = self.endpoints.iter().filter_map(too_late).collect();
        for id in late {
            self.outputs.push_back(Output::Abandon(id));
            let message = format!("the attempt took longer than {timeout:?}");
            self.connect_failed(id, &Status::new(Code::Unavailable, message));
        }
    }

    fn shut_down(&mut self) {
        self.give_up_all();
        self.endpoints.clear();
        self.mode = Mode::Shutdown;
    }

    /// Nothing is connected or tried any more. Waits run on, so that idling is no way around them.
    fn give_up_all(&mut self) {
        for endpoint in &mut self.endpoints {
            let farewell = farewell(endpoint);
            if farewell.is_some() {
                endpoint.link = Link::Idle;
            }
            self.outputs.extend(farewell);
            (endpoint.failed, endpoint.tried) = (false, false);
        }
    }

    fn connect_more(&mut self) {
        if !self.picks_first() {
            for index in 0..self.endpoints.len() {
                if self.endpoints[index].is_idle() {
                    self.connect(index);
                }
            }
            return;
        }
        let is_busy = |endpoint: &Endpoint<A>| endpoint.ready().or(endpoint.connecting()).is_some();
        if self.endpoints.iter().any(is_busy) || self.connect_next() {
            return;
        }
        if self.endpoints.iter().any(|endpoint| endpoint.tried) {
            // A pass over the list is over, and nothing in it could be reached.
            for endpoint in &mut self.endpoints {
                endpoint.tried = false;
            }
            self.outputs.push_back(Output::Resolve);
            self.connect_next();
        }
    }

    /// Tries the first address that may be tried and was not in this pass, if there is one.
    fn connect_next(&mut self) -> bool {
        let may = |endpoint: &Endpoint<A>| endpoint.is_idle() && !endpoint.tried;
        let next = self.endpoints.iter().position(may);
        next.inspect(|index| self.connect(*index)).is_some()
    }

    fn connect(&mut self, index: usize) {
        let endpoint = &mut self.endpoints[index];
        let id = ConnectionId(self.next_id);
        self.next_id += 1;
        let wait = endpoint.waits.next_wait();
        endpoint.link = Link::Connecting {
            id,
            until: self.now + wait.max(self.config.connect_timeout),
            retry_at: self.now + wait,
        };
        endpoint.tried = true;
        let address = endpoint.address.clone();
        self.outputs.push_back(Output::Connect(id, address));
    }

    fn state(&self) -> State {
        match self.mode {
            Mode::Shutdown => return State::Shutdown,
            Mode::Idle => return State::Idle,
            Mode::Active => {}
        }
        if self.is_ready() {
            return State::Ready;
        }
        let failed = self.endpoints.iter().all(|endpoint| endpoint.failed);
        if failed && (self.unresolved || !self.endpoints.is_empty()) {
            State::TransientFailure
        } else {
            State::Connecting
        }
    }

    fn update_picker(&mut self) {
        let picker = match self.state() {
            State::Ready => {
                let ready = self.endpoints.iter().filter_map(Endpoint::ready);
                Picker::new(State::Ready, ready.collect(), None)
            }
            State::TransientFailure => {
                Picker::new(State::TransientFailure, Vec::new(), self.error.clone())
            }
            state @ (State::Idle | State::Connecting | State::Shutdown) => {
                Picker::new(state, Vec::new(), None)
            }
        };
        if picker != self.picker {
            self.picker = picker.clone();
            self.outputs.push_back(Output::Picker(picker));
        }
    }
}

fn find<A>(
    endpoints: &mut [Endpoint<A>],
    is_it: impl Fn(&Endpoint<A>) -> bool,
) -> Option<&mut Endpoint<A>> {
    endpoints.iter_mut().find(|endpoint| is_it(endpoint))
}

/// How the connection of an address, or the attempt, is given up.
fn farewell<A>(endpoint: &Endpoint<A>) -> Option<Output<A>> {
    let connection = endpoint.ready().map(Output::Disconnect);
    connection.or_else(|| endpoint.connecting().map(Output::Abandon))
}

/// What a call is told that has no connection for this reason.
fn unavailable(what: &str, status: &Status) -> Status {
    Status {
        code: Code::Unavailable,
        message: format!("{what}: {}", status.message),
        details: status.details.clone(),
    }
}
