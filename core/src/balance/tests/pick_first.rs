use super::*;

/// S4-61: the addresses are tried in order, one after the other, and the first that is ready stays.
#[test]
fn s4_61_pick_first_takes_the_first_that_can_be_reached() {
    let (mut bench, outputs) = Bench::awake(pick_first(), &["a", "b", "c"]);
    assert_eq!(
        outputs,
        [Output::Resolve, connect(0, "a"), state(State::Connecting)]
    );
    assert_eq!(bench.fail(0), [connect(1, "b")], "still connecting");
    assert_eq!(bench.connected(1), [ready(&[1])]);
    assert_eq!(bench.balancer.poll_timeout(), None, "and c is left alone");
    let reordered = Input::Resolved(vec!["c", "b", "b"]);
    assert_eq!(bench.tell(reordered), [], "what is connected stays");
}

#[test]
fn a_pass_that_fails_is_transient_failure_until_something_is_ready() {
    let (mut bench, _) = Bench::awake(pick_first(), &["a", "b"]);
    assert_eq!(bench.fail(0), [connect(1, "b")]);
    let failed = failing("no connection: refused");
    assert_eq!(bench.fail(1), [Output::Resolve, failed]);
    let (passed, why, outputs) = bench.next();
    assert_eq!((passed, why), (SECOND, Why::BackOff));
    assert_eq!(
        outputs,
        [connect(2, "a")],
        "the state stays while it is tried (gRFC A62)"
    );
    assert_eq!(bench.connected(2), [ready(&[2])]);
}

#[test]
fn no_address_is_passed_over_for_one_whose_wait_was_over_sooner() {
    let (mut bench, _) = Bench::awake(pick_first(), &["a", "b", "c"]);
    bench.fail(0);
    bench.pass(SECOND * 5);
    assert_eq!(
        bench.fail(1),
        [connect(2, "c")],
        "a could be tried again, but it is c's turn"
    );
}

#[test]
fn a_lost_connection_idles_until_a_call_comes() {
    let (mut bench, _) = Bench::awake(pick_first(), &["a", "b"]);
    bench.connected(0);
    bench.pass(SECOND);
    assert_eq!(bench.close(0), [Output::Resolve, state(State::Idle)]);
    assert_eq!(bench.balancer.poll_timeout(), None);
    assert_eq!(
        bench.tell(Input::Wanted),
        [Output::Resolve, connect(1, "a"), state(State::Connecting)]
    );
}

#[test]
fn an_address_that_is_gone_is_left_gracefully() {
    let (mut bench, _) = Bench::awake(pick_first(), &["a", "b"]);
    bench.connected(0);
    assert_eq!(
        bench.tell(Input::Resolved(vec!["b"])),
        [disconnect(0), connect(1, "b"), state(State::Connecting)]
    );
    assert_eq!(
        bench.tell(Input::Resolved(vec!["c"])),
        [abandon(1), connect(2, "c")]
    );
    assert_eq!(bench.connected(1), [], "it was abandoned");
}

/// S4-61: the option to shuffle, by a seed.
#[test]
fn s4_61_shuffling_depends_on_the_seed_alone() {
    let shuffled = |seed| {
        let policy = Policy::PickFirst { shuffle: true };
        let mut balancer = Balancer::new(config(policy), seed);
        balancer.handle(Input::Resolved((0..100).collect()), Time::ZERO);
        balancer.handle(Input::Wanted, Time::ZERO);
        let outputs = core::iter::from_fn(|| balancer.poll_output());
        let mut tried = outputs.filter_map(|output| match output {
            Output::Connect(_, address) => Some(address),
            Output::Resolve | Output::Abandon(_) | Output::Disconnect(_) | Output::Picker(_) => {
                None
            }
        });
        tried.next().expect("one is tried")
    };
    let first: Vec<i32> = (0..20).map(shuffled).collect();
    assert_eq!(first, (0..20).map(shuffled).collect::<Vec<_>>());
    let distinct: alloc::collections::BTreeSet<_> = first.iter().collect();
    assert!(
        distinct.len() > 10,
        "20 seeds begin with addresses all over: {first:?}"
    );
}
