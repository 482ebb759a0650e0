//! Order and sharing: which runs leave the hub, for whom, and after what.

use headwater_core::hub::Output;
use headwater_proto::v1::{self, command::Operation};

use crate::bench::*;

fn send(group: &str, more: &str, data: &str) -> headwater_proto::subprotocol::Request {
    request(&format!(
        "{{'type':'sendToGroup','group':'{group}',{more}'dataType':'text','data':'{data}'}}"
    ))
}

/// What the turn told the driver, in order.
fn turn(bench: &mut Bench) -> Vec<String> {
    bench.drain();
    std::mem::take(&mut bench.outputs)
}

#[test]
fn what_one_turn_publishes_to_one_audience_is_one_run_though_each_message_is_acked() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.open(2, &["g"]);
    bench.forget();
    for id in 1..=3 {
        bench.say(1, send("g", &format!("'ackId':{id},"), &format!("m{id}")));
    }
    assert_eq!(
        turn(&mut bench),
        [
            "[1, 2]: g u1: m1 | g u1: m2 | g u1: m3",
            "1: ack 1 | ack 2 | ack 3"
        ]
    );
}

#[test]
fn a_run_is_shared_and_so_is_the_list_of_its_receivers() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.open(2, &["g"]);
    bench.forget();
    let mut lists = Vec::new();
    for _ in 0..2 {
        bench.say(1, send("g", "", "x"));
        while let Some(output) = bench.hub.poll_output() {
            match output {
                Output::Deliver { to, .. } => lists.push(to),
                other => panic!("not delivered: {other:?}"),
            }
        }
    }
    assert!(
        std::sync::Arc::ptr_eq(&lists[0], &lists[1]),
        "the list is made anew though nobody joined or left"
    );
}

#[test]
fn each_protocol_gets_its_own_run() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    let mut new = simple(2);
    new.groups = vec!["g".into()];
    bench.connect(2, new);
    bench.opened(2);
    bench.forget();
    bench.say(1, send("g", "", "a"));
    bench.say(1, send("g", "", "b"));
    assert_eq!(turn(&mut bench), ["[1]: g u1: a | g u1: b", "[2]: a | b"]);
}

#[test]
fn messages_to_several_audiences_keep_their_order() {
    let mut bench = Bench::new();
    bench.open(1, &["g", "h"]);
    bench.open(2, &["g"]);
    bench.forget();
    for (group, data) in [("g", "1"), ("h", "2"), ("g", "3"), ("g", "4")] {
        bench.say(1, send(group, "", data));
    }
    assert_eq!(
        turn(&mut bench),
        [
            "[1, 2]: g u1: 1",
            "[1]: h u1: 2",
            "[1, 2]: g u1: 3 | g u1: 4"
        ]
    );
}

#[test]
fn who_is_left_out_divides_runs() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.open(2, &["g"]);
    bench.forget();
    bench.say(1, send("g", "", "a"));
    bench.say(1, send("g", "'noEcho':true,", "b"));
    bench.say(1, send("g", "'noEcho':true,", "c"));
    bench.say(1, send("g", "", "d"));
    assert_eq!(
        turn(&mut bench),
        [
            "[1, 2]: g u1: a",
            "[2]: g u1: b | g u1: c",
            "[1, 2]: g u1: d"
        ]
    );
}

#[test]
fn joining_and_leaving_inside_a_turn_take_effect_where_they_stand() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.open(2, &["g"]);
    bench.forget();
    bench.say(1, send("g", "", "before"));
    bench.say(1, request("{'type':'joinGroup','group':'g','ackId':1}"));
    bench.say(1, send("g", "", "between"));
    bench.say(1, request("{'type':'leaveGroup','group':'g','ackId':2}"));
    bench.say(1, send("g", "", "after"));
    assert_eq!(
        turn(&mut bench),
        [
            "[2]: g u1: before",
            "1: ack 1",
            "[2, 1]: g u1: between",
            "1: ack 2",
            "[2]: g u1: after"
        ]
    );
}

#[test]
fn a_turn_that_publishes_and_then_closes_a_member_delivers_first() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.open(2, &["g"]);
    bench.link(1, register("app"));
    bench.forget();
    bench.command(1, to_group("g", "last"));
    bench.command(
        1,
        Operation::CloseConnection(v1::CloseConnectionRequest {
            connection_id: "c2".into(),
            reason: "bye".into(),
            ..v1::CloseConnectionRequest::default()
        }),
    );
    bench.command(1, to_group("g", "later"));
    assert_eq!(
        bench.heard(2),
        ["g: last", "disconnected: bye", "close 1000 bye"]
    );
    assert_eq!(bench.heard(1), ["g: last", "g: later"]);
}

#[test]
fn s1_29_an_ack_with_a_reply_comes_before_what_is_published_next() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.open(2, &["g"]);
    bench.link(1, register("app"));
    bench.say(1, event("ask", Some(1), "x"));
    bench.forget();
    bench.command(1, to_group("g", "before"));
    bench.ack(1, (1, 3), reply("answer"));
    bench.command(1, to_group("g", "after"));
    assert_eq!(
        bench.heard(1),
        ["g: before", "server: answer", "ack 1", "g: after"]
    );
    assert_eq!(bench.heard(2), ["g: before", "g: after"]);
}

#[test]
fn s1_29_an_ack_without_a_reply_keeps_its_place_too() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.link(1, register("app"));
    bench.say(1, event("ask", Some(1), "x"));
    bench.say(1, event("ask", Some(2), "x"));
    bench.forget();
    bench.command(1, to_group("g", "a"));
    bench.ack(1, (1, 3), done());
    bench.command(1, to_group("g", "b"));
    bench.ack(1, (1, 4), error(13, "oops"));
    bench.command(1, to_group("g", "c"));
    assert_eq!(
        bench.heard(1),
        ["g: a", "ack 1", "g: b", "ack 2 InternalServerError", "g: c"]
    );
}

#[test]
fn s1_13_send_after_join_arrives_after_leave_does_not() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.link(1, register("app"));
    bench.forget();
    let join = || {
        Operation::AddConnectionToGroup(v1::AddConnectionToGroupRequest {
            group: "g".into(),
            connection_id: "c1".into(),
            ..v1::AddConnectionToGroupRequest::default()
        })
    };
    bench.command(1, to_group("g", "before"));
    bench.command(1, join());
    bench.command(1, join());
    bench.command(1, to_group("g", "in"));
    bench.command(
        1,
        Operation::RemoveConnectionFromGroup(v1::RemoveConnectionFromGroupRequest {
            group: "g".into(),
            connection_id: "c1".into(),
            ..v1::RemoveConnectionFromGroupRequest::default()
        }),
    );
    bench.command(1, to_group("g", "after"));
    assert_eq!(bench.heard(1), ["g: in"], "joined twice is joined once");
    assert_eq!(
        bench.sent(1),
        [
            "result 1 delivered 0",
            "result 2 changed 1",
            "result 3 changed 0",
            "result 4 delivered 1",
            "result 5 changed 1",
            "result 6 delivered 0"
        ]
    );
}

#[test]
fn s1_11_a_group_message_reaches_its_members_and_nobody_else() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.open(2, &["g", "h"]);
    bench.open(3, &["h"]);
    bench.forget();
    let delivered = bench.hub.command(to_group("g", "x"), bench.now).unwrap();
    assert_eq!(show_value(Some(&delivered)), "delivered 2");
    assert_eq!(turn(&mut bench), ["[1, 2]: g: x"]);
}

#[test]
fn s1_12_send_to_all_reaches_every_open_connection() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.open(2, &[]);
    bench.connect(3, json(3));
    bench.open(4, &[]);
    bench.gone(4);
    bench.forget();
    let all = v1::SendToAllRequest {
        payload: text("x"),
        ..v1::SendToAllRequest::default()
    };
    let delivered = bench
        .hub
        .command(Operation::SendToAll(all), bench.now)
        .unwrap();
    assert_eq!(show_value(Some(&delivered)), "delivered 2");
    assert_eq!(turn(&mut bench), ["[1, 2]: server: x"]);
}

#[test]
fn those_left_out_are_counted_once_and_unknown_ones_not_at_all() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.open(2, &["g"]);
    bench.open(3, &[]);
    bench.forget();
    let to = |excluded: &[&str]| {
        Operation::SendToGroup(v1::SendToGroupRequest {
            group: "g".into(),
            payload: text("x"),
            excluded_connections: excluded.iter().map(ToString::to_string).collect(),
            ..v1::SendToGroupRequest::default()
        })
    };
    for (excluded, delivered) in [
        (&["c2", "c2", "c3", "nobody"][..], "delivered 1"),
        (&["c2", "c1", "c1", "c2"], "delivered 0"),
        (&["nobody"], "delivered 2"),
    ] {
        let value = bench.hub.command(to(excluded), bench.now).unwrap();
        assert_eq!(show_value(Some(&value)), delivered, "{excluded:?}");
    }
    assert_eq!(bench.heard(1), ["g: x", "g: x"]);
    assert_eq!(bench.heard(2), ["g: x"]);
    assert_eq!(bench.heard(3), [""; 0]);
}

#[test]
fn a_long_run_is_divided_and_nothing_is_lost() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.forget();
    let data = "x".repeat(10_000);
    for _ in 0..30 {
        bench.say(1, send("g", "", &data));
    }
    bench.drain();
    assert!(
        bench.outputs.len() > 1,
        "300 kB are more than one piece of an outbox"
    );
    assert_eq!(bench.heard(1).len(), 30);
}

#[test]
fn s1_13_membership_changed_by_the_application_inside_a_turn_takes_effect_where_it_stands() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.open(2, &[]);
    bench.link(1, register("app"));
    bench.forget();
    let user = || v1::AddUserToGroupRequest {
        group: "g".into(),
        user_id: "u2".into(),
        ..v1::AddUserToGroupRequest::default()
    };
    let remove = v1::RemoveUserFromGroupRequest {
        group: "g".into(),
        user_id: "u2".into(),
        ..v1::RemoveUserFromGroupRequest::default()
    };
    let leave_all = v1::RemoveConnectionFromAllGroupsRequest {
        connection_id: "c2".into(),
        ..v1::RemoveConnectionFromAllGroupsRequest::default()
    };
    let operations = [
        to_group("g", "1"),
        Operation::AddUserToGroup(user()),
        to_group("g", "2"),
        Operation::RemoveUserFromGroup(remove),
        to_group("g", "3"),
        Operation::AddUserToGroup(user()),
        to_group("g", "4"),
        Operation::RemoveConnectionFromAllGroups(leave_all),
        to_group("g", "5"),
    ];
    for operation in operations {
        bench.command(1, operation);
    }
    assert_eq!(bench.heard(1), ["g: 1", "g: 2", "g: 3", "g: 4", "g: 5"]);
    assert_eq!(bench.heard(2), ["g: 2", "g: 4"]);
}
