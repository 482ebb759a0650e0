use super::*;

/// S4-63: back-off of 1 s, growing by 1.6, to 120 s; exact to the millisecond without jitter.
#[test]
fn s4_63_back_off_grows_from_the_start_of_each_attempt() {
    let (mut bench, _) = Bench::awake(pick_first(), &["a"]);
    bench.fail(0);
    let mut waits = Vec::new();
    for id in 1..14 {
        let (passed, why, outputs) = bench.next();
        assert_eq!((why, outputs), (Why::BackOff, vec![connect(id, "a")]));
        waits.push(u64::try_from(passed.as_millis()).unwrap());
        bench.fail(id);
    }
    let expected = [
        1000, 1600, 2560, 4096, 6553, 10485, 16777, 26843, 42949, 68719, 109_951, 120_000, 120_000,
    ];
    assert_eq!(waits, expected);
}

#[test]
fn s4_63_jitter_is_a_fifth_and_comes_from_the_seed() {
    let waits = |seed| {
        let mut balancer = Balancer::new(BalancerConfig::default(), seed);
        balancer.handle(Input::Resolved(vec!["a"]), Time::ZERO);
        balancer.handle(Input::Wanted, Time::ZERO);
        let (mut now, mut id) = (Time::ZERO, 0);
        let mut next = || {
            balancer.handle(Input::ConnectFailed(ConnectionId(id), refused()), now);
            while balancer.poll_output().is_some() {}
            let at = balancer.poll_timeout().expect("it waits").at;
            let wait = at - now;
            (now, id) = (at, id + 1);
            balancer.handle(Input::Timeout, now);
            while balancer.poll_output().is_some() {}
            wait.as_secs_f64()
        };
        (0..20).map(|_| next()).collect::<Vec<f64>>()
    };
    assert_eq!(waits(1), waits(1));
    assert_ne!(waits(1), waits(2));
    let mut expected = 1.0_f64;
    for wait in waits(3) {
        let bounds = expected * 0.799..expected * 1.201;
        assert!(bounds.contains(&wait), "{wait} is not in {bounds:?}");
        expected = (expected * 1.6).min(120.0);
    }
}

#[test]
fn a_success_starts_the_back_off_afresh() {
    let (mut bench, _) = Bench::awake(round_robin(), &["a"]);
    bench.fail(0);
    bench.next();
    bench.fail(1);
    let (passed, ..) = bench.next();
    assert_eq!(passed, SECOND * 8 / 5);
    bench.connected(2);
    bench.pass(SECOND);
    bench.close(2);
    bench.fail(3);
    let (passed, ..) = bench.next();
    assert_eq!(passed, SECOND);
}

#[test]
fn time_that_an_attempt_took_counts_as_waited() {
    let (mut bench, _) = Bench::awake(round_robin(), &["a"]);
    bench.pass(SECOND * 3 / 4);
    bench.fail(0);
    let (passed, ..) = bench.next();
    assert_eq!(passed, SECOND / 4);
    bench.pass(SECOND * 2);
    let outputs = bench.fail(1);
    assert!(
        outputs.contains(&connect(2, "a")),
        "the wait is over: {outputs:?}"
    );
}

#[test]
fn an_attempt_that_takes_too_long_is_abandoned() {
    let (mut bench, _) = Bench::awake(pick_first(), &["a"]);
    let (passed, why, outputs) = bench.next();
    assert_eq!((passed, why), (SECOND * 20, Why::Connect));
    let failed = failing("no connection: the attempt took longer than 20s");
    assert_eq!(
        outputs,
        [abandon(0), Output::Resolve, connect(1, "a"), failed]
    );
}

#[test]
fn connections_that_only_come_to_go_are_not_stormed() {
    let (mut bench, _) = Bench::awake(round_robin(), &["a"]);
    bench.connected(0);
    let outputs = bench.close(0);
    assert!(
        outputs.contains(&connect(1, "a")),
        "once may happen: {outputs:?}"
    );
    bench.connected(1);
    assert_eq!(
        bench.close(1),
        [Output::Resolve, state(State::Connecting)],
        "twice in a row has to wait"
    );
    let (passed, _, outputs) = bench.next();
    assert_eq!((passed, outputs), (SECOND, vec![connect(2, "a")]));
    bench.connected(2);
    bench.pass(SECOND);
    let outputs = bench.close(2);
    assert!(
        outputs.contains(&connect(3, "a")),
        "this one lasted: {outputs:?}"
    );
}

#[test]
fn an_odd_configuration_does_not_panic() {
    for number in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let back_off = BackOff {
            multiplier: number,
            jitter: number,
            max: Duration::MAX,
            ..BackOff::default()
        };
        let config = BalancerConfig {
            back_off,
            ..round_robin()
        };
        let (mut bench, _) = Bench::awake(config, &["a"]);
        for id in 0..100 {
            bench.fail(id);
            bench.next();
        }
    }
}
