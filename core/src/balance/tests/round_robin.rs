use super::*;

#[test]
fn each_address_has_its_connection() {
    let (mut bench, outputs) = Bench::awake(round_robin(), &["a", "b", "a"]);
    assert_eq!(
        outputs,
        [
            Output::Resolve,
            connect(0, "a"),
            connect(1, "b"),
            state(State::Connecting)
        ]
    );
    assert_eq!(bench.connected(1), [ready(&[1])]);
    assert_eq!(bench.connected(0), [ready(&[0, 1])], "in the list's order");
}

/// S4-61: addresses added and removed at run time; those that stay are not touched.
#[test]
fn s4_61_a_new_list_changes_only_what_differs() {
    let (mut bench, _) = Bench::awake(round_robin(), &["a", "b"]);
    bench.connected(0);
    bench.connected(1);
    assert_eq!(
        bench.tell(Input::Resolved(vec!["c", "b"])),
        [disconnect(0), connect(2, "c"), ready(&[1])]
    );
    assert_eq!(bench.connected(2), [ready(&[2, 1])]);
}

#[test]
fn a_lost_connection_is_replaced_without_a_call() {
    let (mut bench, _) = Bench::awake(round_robin(), &["a", "b"]);
    bench.connected(0);
    bench.connected(1);
    bench.pass(SECOND);
    assert_eq!(
        bench.close(0),
        [Output::Resolve, connect(2, "a"), ready(&[1])]
    );
    assert_eq!(bench.close(0), [], "told twice");
}

#[test]
fn one_that_works_is_enough_and_all_that_fail_are_a_failure() {
    let (mut bench, _) = Bench::awake(round_robin(), &["a", "b"]);
    assert_eq!(bench.fail(0), [Output::Resolve], "b may still work");
    let failed = failing("no connection: refused");
    assert_eq!(bench.fail(1), [Output::Resolve, failed]);
    let (passed, _, outputs) = bench.next();
    assert_eq!(passed, SECOND);
    assert_eq!(outputs, [connect(2, "a"), connect(3, "b")]);
    assert_eq!(bench.connected(3), [ready(&[3])]);
    assert_eq!(bench.fail(2), [Output::Resolve], "b works");
}

/// S4-61: calls go to the ready ones in turn.
#[test]
fn s4_61_calls_go_round() {
    let (mut bench, _) = Bench::awake(round_robin(), &["a", "b", "c"]);
    bench.connected(0);
    bench.connected(1);
    let outputs = bench.connected(2);
    let Some(Output::Picker(picker)) = outputs.last() else {
        panic!("no picker: {outputs:?}");
    };
    let picked: Vec<_> = (0..6).map(|turn| picker.pick(turn, false)).collect();
    let expected = [0, 1, 2, 0, 1, 2].map(ConnectionId);
    assert_eq!(picked, expected.each_ref().map(Pick::Ready));
}
