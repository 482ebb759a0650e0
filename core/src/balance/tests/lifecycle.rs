use super::*;

const HALF_HOUR: Duration = Duration::from_secs(1800);

fn idling() -> BalancerConfig {
    BalancerConfig {
        idle_timeout: BalancerConfig::default().idle_timeout,
        ..pick_first()
    }
}

#[test]
fn nothing_is_done_before_it_is_wanted() {
    let mut bench = Bench::new(pick_first());
    assert_eq!(bench.tell(Input::Resolved(vec!["a"])), []);
    assert_eq!(bench.balancer.poll_timeout(), None);
}

/// S4-63: connections without a call are given up after 30 min, counted from the end of the last call.
#[test]
fn s4_63_without_calls_it_idles_after_half_an_hour() {
    let (mut bench, _) = Bench::awake(idling(), &["a"]);
    bench.connected(0);
    let deadline = bench.balancer.poll_timeout().expect("it may idle");
    assert_eq!(deadline.why, Why::Idle);
    bench.now = deadline.at;
    bench.tell(Input::Calls(Calls::Open));
    assert_eq!(bench.tell(Input::Timeout), [], "there is a call");

    let ended = bench.now + SECOND * 5;
    bench.now = bench.balancer.poll_timeout().expect("it asks again").at;
    bench.tell(Input::Calls(Calls::NoneSince(ended)));
    assert_eq!(bench.tell(Input::Timeout), [], "it ended a while ago only");
    let deadline = bench.balancer.poll_timeout();
    assert_eq!(deadline.map(|it| it.at), Some(ended + HALF_HOUR));

    bench.now = ended + HALF_HOUR;
    bench.tell(Input::Calls(Calls::NoneSince(ended)));
    assert_eq!(
        bench.tell(Input::Timeout),
        [disconnect(0), state(State::Idle)]
    );
    assert_eq!(bench.balancer.poll_timeout(), None);
    assert_eq!(
        bench.tell(Input::Wanted),
        [Output::Resolve, connect(1, "a"), state(State::Connecting)],
        "what is known is used while names are resolved anew"
    );
}

#[test]
fn idling_is_no_way_around_a_back_off() {
    let config = BalancerConfig {
        idle_timeout: Some(SECOND / 2),
        ..idling()
    };
    let (mut bench, _) = Bench::awake(config, &["a"]);
    bench.fail(0);
    let (_, why, outputs) = bench.next();
    assert_eq!((why, outputs), (Why::Idle, vec![state(State::Idle)]));
    assert_eq!(
        bench.tell(Input::Wanted),
        [Output::Resolve, state(State::Connecting)]
    );
    let (passed, _, outputs) = bench.next();
    assert_eq!((passed, outputs), (SECOND / 2, vec![state(State::Idle)]));
}

#[test]
fn a_name_that_cannot_be_resolved_fails_calls_until_it_can() {
    let mut bench = Bench::new(pick_first());
    assert_eq!(
        bench.tell(Input::Wanted),
        [Output::Resolve, state(State::Connecting)]
    );
    let failed = |message| Input::ResolutionFailed(Status::new(Code::Unknown, message));
    assert_eq!(
        bench.tell(failed("no such host")),
        [
            Output::Resolve,
            failing("the name could not be resolved: no such host")
        ]
    );
    assert_eq!(
        bench.tell(Input::Resolved(vec![])),
        [failing("the name has no address")]
    );
    assert_eq!(
        bench.tell(Input::Resolved(vec!["a"])),
        [connect(0, "a"), state(State::Connecting)]
    );
    bench.connected(0);
    assert_eq!(
        bench.tell(failed("no such host")),
        [Output::Resolve],
        "what is known stays in use"
    );
}

#[test]
fn what_was_told_while_it_idled_counts() {
    let mut bench = Bench::new(pick_first());
    assert_eq!(bench.tell(Input::Resolved(vec![])), []);
    assert_eq!(
        bench.tell(Input::Wanted),
        [Output::Resolve, failing("the name has no address")],
        "a resolver need not say it again"
    );
}

/// S4-61: the states, and what a call is told in each (S4-04, S4-44).
#[test]
fn s4_44_what_a_call_is_told_in_each_state() {
    let error = Status::new(Code::Unavailable, "refused");
    let picker = |state, error| Picker::<u8>::new(state, vec![], error);
    for state in [State::Idle, State::Connecting] {
        assert_eq!(picker(state, None).pick(0, false), Pick::Wait, "{state:?}");
    }
    let failing = picker(State::TransientFailure, Some(error.clone()));
    assert_eq!(failing.pick(0, false), Pick::Fail(error));
    assert_eq!(failing.pick(0, true), Pick::Wait);
    for wait_for_ready in [true, false] {
        let Pick::Fail(status) = Picker::<u8>::shut_down().pick(0, wait_for_ready) else {
            panic!("nothing goes any more");
        };
        assert_eq!(status.code, Code::FailedPrecondition);
    }
    let ready = Picker::new(State::Ready, vec!['a'], None);
    assert_eq!(ready.pick(usize::MAX, false), Pick::Ready(&'a'));
}

#[test]
fn after_shutdown_there_is_nothing() {
    let (mut bench, _) = Bench::awake(round_robin(), &["a", "b"]);
    bench.connected(0);
    assert_eq!(
        bench.tell(Input::Shutdown),
        [disconnect(0), abandon(1), state(State::Shutdown)]
    );
    let late = [
        Input::Shutdown,
        Input::Connected(ConnectionId(1)),
        Input::Resolved(vec!["c"]),
        Input::Wanted,
        Input::Timeout,
    ];
    for input in late {
        assert_eq!(bench.tell(input), []);
    }
    assert_eq!(bench.balancer.poll_timeout(), None);
}

/// Random inputs: an address never has two links, nothing unknown is given up, and a picker holds only what is connected.
#[test]
fn the_promises_hold_whatever_happens() {
    for seed in 0..200_u64 {
        let mut random = crate::random::Random::new(seed);
        let mut below = |bound: u64| (random.fraction() * bound as f64) as u64;
        let policies = [
            Policy::RoundRobin,
            Policy::PickFirst { shuffle: false },
            Policy::PickFirst { shuffle: true },
        ];
        let policy = policies[below(3) as usize];
        let mut bench = Bench::new(BalancerConfig {
            policy,
            idle_timeout: Some(SECOND * 10),
            ..BalancerConfig::default()
        });
        let mut model = Model::default();
        for _ in 0..300 {
            bench.pass(SECOND / 10 * u32::try_from(below(20)).unwrap());
            let id = ConnectionId(below(model.next + 1));
            let input = match below(30) {
                0 => Input::Resolved(["a", "b", "c", "d"][below(4) as usize..].to_vec()),
                1 => Input::ResolutionFailed(refused()),
                2 => Input::Wanted,
                3 | 4 => Input::Connected(id),
                5 => Input::ConnectFailed(id, refused()),
                6..9 => Input::Closed(id, refused()),
                9 => Input::Policy(policies[below(3) as usize]),
                10..14 => Input::Wanted,
                14..22 => Input::Connected(id),
                22..25 => Input::ConnectFailed(id, refused()),
                _ => Input::Timeout,
            };
            model.told(&input);
            let outputs = bench.tell(input);
            for output in &outputs {
                model.check(seed, output);
            }
        }
        for output in bench.tell(Input::Shutdown) {
            model.check(seed, &output);
        }
        assert_eq!(model.open, [], "seed {seed}: all was given up");
    }
}

/// What an observer knows of a run: the attempts and connections that the driver holds.
#[derive(Default)]
struct Model {
    next: u64,
    open: Vec<(ConnectionId, Address, bool)>,
}

impl Model {
    fn told(&mut self, input: &Input<Address>) {
        match input {
            Input::Connected(id) => {
                for open in self.open.iter_mut().filter(|open| open.0 == *id) {
                    open.2 = true;
                }
            }
            Input::ConnectFailed(id, _) => self.open.retain(|open| open.0 != *id || open.2),
            Input::Closed(id, _) => self.open.retain(|open| open.0 != *id || !open.2),
            Input::Resolved(_)
            | Input::Policy(_)
            | Input::ResolutionFailed(_)
            | Input::Wanted
            | Input::Calls(_)
            | Input::Timeout
            | Input::Shutdown => {}
        }
    }

    fn check(&mut self, seed: u64, output: &Output<Address>) {
        match output {
            Output::Connect(id, address) => {
                assert_eq!(id.0, self.next, "seed {seed}: ids are new");
                self.next += 1;
                let twice = self.open.iter().any(|open| open.1 == *address);
                assert!(!twice, "seed {seed}: {address} has a link: {:?}", self.open);
                self.open.push((*id, address, false));
            }
            Output::Abandon(id) => self.gone(seed, *id, false),
            Output::Disconnect(id) => self.gone(seed, *id, true),
            Output::Picker(picker) => {
                for id in picker.ready() {
                    let known = self.open.iter().any(|open| open.0 == *id && open.2);
                    assert!(known, "seed {seed}: {id:?} is not connected");
                }
                let ready = picker.state() == State::Ready;
                assert_eq!(ready, !picker.ready().is_empty(), "seed {seed}");
            }
            Output::Resolve => {}
        }
    }

    fn gone(&mut self, seed: u64, id: ConnectionId, connected: bool) {
        let place = self
            .open
            .iter()
            .position(|open| (open.0, open.2) == (id, connected));
        let place = place.unwrap_or_else(|| panic!("seed {seed}: {id:?} is not there"));
        self.open.remove(place);
    }
}
