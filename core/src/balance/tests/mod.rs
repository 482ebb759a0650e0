//! The machine against exact lists of outputs.

mod lifecycle;
mod pick_first;
mod round_robin;
mod waits;

use alloc::{vec, vec::Vec};
use core::time::Duration;

use headwater_proto::{Code, Status};

use super::*;
use crate::BackOff;
use crate::time::{Deadline, Time, Why};

type Address = &'static str;

const SECOND: Duration = Duration::from_secs(1);

/// A balancer on a virtual clock.
struct Bench {
    balancer: Balancer<Address>,
    now: Time,
}

impl Bench {
    fn new(config: BalancerConfig) -> Self {
        Self {
            balancer: Balancer::new(config, 7),
            now: Time::ZERO,
        }
    }

    /// One that knows these addresses and was woken; and what it said.
    fn awake(config: BalancerConfig, addresses: &[Address]) -> (Self, Vec<Output<Address>>) {
        let mut bench = Self::new(config);
        assert_eq!(bench.tell(Input::Resolved(addresses.to_vec())), []);
        let outputs = bench.tell(Input::Wanted);
        (bench, outputs)
    }

    fn tell(&mut self, input: Input<Address>) -> Vec<Output<Address>> {
        self.balancer.handle(input, self.now);
        core::iter::from_fn(|| self.balancer.poll_output()).collect()
    }

    fn connected(&mut self, id: u64) -> Vec<Output<Address>> {
        self.tell(Input::Connected(ConnectionId(id)))
    }

    fn fail(&mut self, id: u64) -> Vec<Output<Address>> {
        self.tell(Input::ConnectFailed(ConnectionId(id), refused()))
    }

    fn close(&mut self, id: u64) -> Vec<Output<Address>> {
        self.tell(Input::Closed(ConnectionId(id), refused()))
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Goes to the next deadline, and says how long that took, why it was, and what came of it.
    fn next(&mut self) -> (Duration, Why, Vec<Output<Address>>) {
        let Deadline { at, why } = self.balancer.poll_timeout().expect("there is a deadline");
        let passed = at - self.now;
        self.now = at;
        (passed, why, self.tell(Input::Timeout))
    }
}

fn config(policy: Policy) -> BalancerConfig {
    BalancerConfig {
        policy,
        back_off: BackOff {
            jitter: 0.0,
            ..BackOff::default()
        },
        idle_timeout: None,
        ..BalancerConfig::default()
    }
}

fn pick_first() -> BalancerConfig {
    config(Policy::PickFirst { shuffle: false })
}

fn round_robin() -> BalancerConfig {
    config(Policy::RoundRobin)
}

fn refused() -> Status {
    Status::new(Code::Unavailable, "refused")
}

fn connect(id: u64, address: Address) -> Output<Address> {
    Output::Connect(ConnectionId(id), address)
}

fn disconnect(id: u64) -> Output<Address> {
    Output::Disconnect(ConnectionId(id))
}

fn abandon(id: u64) -> Output<Address> {
    Output::Abandon(ConnectionId(id))
}

fn state(state: State) -> Output<Address> {
    Output::Picker(Picker::new(state, vec![], None))
}

fn ready(ids: &[u64]) -> Output<Address> {
    let ids = ids.iter().copied().map(ConnectionId).collect();
    Output::Picker(Picker::new(State::Ready, ids, None))
}

fn failing(message: &str) -> Output<Address> {
    let error = Status::new(Code::Unavailable, message);
    Output::Picker(Picker::new(State::TransientFailure, vec![], Some(error)))
}
