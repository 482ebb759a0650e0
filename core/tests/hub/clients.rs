//! What clients may ask for, and what they are told.

use headwater_core::hub::{Output, Permission};
use headwater_proto::v1::{self, command::Operation};

use crate::bench::*;

fn join(group: &str, ack_id: u64) -> headwater_proto::subprotocol::Request {
    request(&format!(
        "{{'type':'joinGroup','group':'{group}','ackId':{ack_id}}}"
    ))
}

fn leave(group: &str, ack_id: u64) -> headwater_proto::subprotocol::Request {
    request(&format!(
        "{{'type':'leaveGroup','group':'{group}','ackId':{ack_id}}}"
    ))
}

fn send(group: &str, more: &str, data: &str) -> headwater_proto::subprotocol::Request {
    request(&format!(
        "{{'type':'sendToGroup','group':'{group}',{more}'dataType':'text','data':'{data}'}}"
    ))
}

#[test]
fn s1_51_what_clients_read_is_json_as_azure_writes_it() {
    let mut bench = Bench::new();
    bench.connect(1, json(1));
    bench.opened(1);
    bench.say(1, join("g", 1));
    bench.say(1, send("g", "'ackId':2,", "hi"));
    bench.say(1, send("h", "'ackId':2,", "hi"));
    bench.say(1, request("{'type':'ping'}"));
    let mut read = Vec::new();
    while let Some(output) = bench.hub.poll_output() {
        match output {
            Output::Send { run, .. } | Output::Deliver { run, .. } => {
                read.extend(frames(&run.bytes));
            }
            Output::Admit { .. } => {}
            other => panic!("not for this client: {other:?}"),
        }
    }
    assert_eq!(
        read,
        [
            r#"{"type":"system","event":"connected","userId":"u1","connectionId":"c1"}"#,
            r#"{"type":"ack","ackId":1,"success":true}"#,
            r#"{"type":"message","from":"group","group":"g","fromUserId":"u1","dataType":"text","data":"hi"}"#,
            r#"{"type":"ack","ackId":2,"success":true}"#,
            r#"{"type":"ack","ackId":2,"success":false,"error":{"name":"Duplicate","message":"this ackId was used before"}}"#,
            r#"{"type":"pong"}"#,
        ]
    );
}

#[test]
fn s1_53_an_ack_id_that_was_used_is_not_executed_again_whatever_it_asks() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.forget();
    bench.say(1, send("g", "'ackId':7,", "one"));
    bench.say(1, send("g", "'ackId':7,", "two"));
    bench.say(1, leave("g", 7));
    bench.say(1, event("ask", Some(7), "x"));
    bench.say(1, send("g", "", "three"));
    assert_eq!(
        bench.heard(1),
        [
            "g u1: one",
            "g u1: three",
            "ack 7",
            "ack 7 Duplicate",
            "ack 7 Duplicate",
            "ack 7 Duplicate"
        ]
    );
}

#[test]
fn s1_53_the_ack_id_of_an_event_under_way_is_taken_and_free_again_after_failure() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.link(1, register("app"));
    bench.forget();
    bench.say(1, event("ask", Some(1), "x"));
    bench.say(1, event("ask", Some(1), "x"));
    assert_eq!(bench.heard(1), ["ack 1 Duplicate"]);
    bench.ack(1, (1, 3), error(13, "oops"));
    assert_eq!(bench.heard(1), ["ack 1 InternalServerError"]);
    bench.say(1, event("ask", Some(1), "x"));
    bench.ack(1, (1, 4), done());
    assert_eq!(bench.heard(1), ["ack 1"]);
    bench.say(1, event("ask", Some(1), "x"));
    assert_eq!(bench.heard(1), ["ack 1 Duplicate"]);
}

#[test]
fn s1_53_the_ack_id_of_a_forbidden_request_is_free() {
    let mut bench = Bench::new();
    let mut new = json(1);
    new.roles.clear();
    bench.connect(1, new);
    bench.opened(1);
    bench.forget();
    bench.say(1, join("g", 1));
    let grant = v1::GrantPermissionRequest {
        connection_id: "c1".into(),
        permission: v1::Permission::JoinLeaveGroup.into(),
        ..v1::GrantPermissionRequest::default()
    };
    bench
        .hub
        .command(Operation::GrantPermission(grant), bench.now)
        .unwrap();
    bench.say(1, join("g", 1));
    assert_eq!(bench.heard(1), ["ack 1 Forbidden", "ack 1"]);
}

#[test]
fn s1_54_the_permission_matrix() {
    // role, may join g, may send to g, may join h, may send to h
    let rows: &[(&str, [bool; 4])] = &[
        ("", [false, false, false, false]),
        ("webpubsub.joinLeaveGroup", [true, false, true, false]),
        ("webpubsub.joinLeaveGroup.g", [true, false, false, false]),
        ("webpubsub.sendToGroup", [false, true, false, true]),
        ("webpubsub.sendToGroup.g", [false, true, false, false]),
    ];
    for (role, expected) in rows {
        let mut bench = Bench::new();
        let mut new = json(1);
        new.roles = vec![(*role).into()];
        bench.connect(1, new);
        bench.opened(1);
        bench.forget();
        let asked = [
            join("g", 1),
            send("g", "'ackId':2,'noEcho':true,", "x"),
            join("h", 3),
            send("h", "'ackId':4,'noEcho':true,", "x"),
            leave("g", 5),
            event("ask", Some(6), "x"),
        ];
        for request in asked {
            bench.say(1, request);
        }
        let mut answers: Vec<String> = (1..=4)
            .zip(expected)
            .map(|(id, may)| format!("ack {id}{}", if *may { "" } else { " Forbidden" }))
            .collect();
        answers.push(format!(
            "ack 5{}",
            if expected[0] { "" } else { " Forbidden" }
        ));
        answers.push("ack 6 InternalServerError".into());
        assert_eq!(bench.heard(1), answers, "role {role:?}");
    }
    assert_ne!(Permission::JoinLeaveGroup, Permission::SendToGroup);
}

#[test]
fn a_request_without_ack_id_fails_in_silence() {
    let mut bench = Bench::new();
    let mut new = json(1);
    new.roles.clear();
    bench.connect(1, new);
    bench.opened(1);
    bench.forget();
    bench.say(1, request("{'type':'joinGroup','group':'g'}"));
    bench.say(1, send("g", "", "x"));
    assert_eq!(bench.heard(1), [""; 0]);
}

#[test]
fn leaving_a_group_without_being_in_it_and_joining_twice_succeed() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.forget();
    bench.say(1, leave("g", 1));
    bench.say(1, join("g", 2));
    bench.say(1, join("g", 3));
    bench.say(1, send("g", "", "once"));
    assert_eq!(bench.heard(1), ["ack 1", "ack 2", "ack 3", "g u1: once"]);
}

#[test]
fn sending_needs_no_membership_and_an_empty_group_is_no_error() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.open(2, &["g"]);
    bench.forget();
    bench.say(1, send("g", "'ackId':1,", "x"));
    bench.say(1, send("empty", "'ackId':2,", "x"));
    assert_eq!(bench.heard(1), ["ack 1", "ack 2"]);
    assert_eq!(bench.heard(2), ["g u1: x"]);
}

#[test]
fn s1_15_no_echo_leaves_the_sender_out() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.open(2, &["g"]);
    bench.forget();
    bench.say(1, send("g", "'noEcho':true,", "x"));
    assert_eq!(bench.heard(1), [""; 0]);
    assert_eq!(bench.heard(2), ["g u1: x"]);

    bench.link(1, register("app"));
    let mut operation = v1::SendToGroupRequest {
        group: "g".into(),
        payload: text("y"),
        origin_connection: "c1".into(),
        no_echo: true,
        ..v1::SendToGroupRequest::default()
    };
    bench.command(1, Operation::SendToGroup(operation.clone()));
    operation.no_echo = false;
    bench.command(1, Operation::SendToGroup(operation));
    assert_eq!(
        bench.sent(1),
        [
            "registered r1",
            "result 1 delivered 1",
            "result 2 delivered 2"
        ]
    );
    assert_eq!(bench.heard(1), ["g: y"], "no_echo alone decides");
    assert_eq!(bench.heard(2), ["g: y", "g: y"]);
}

#[test]
fn the_groups_of_one_connection_are_bounded() {
    let mut bench = Bench::with(|config| config.groups_per_connection_max = 2);
    bench.open(1, &["a"]);
    bench.forget();
    bench.say(1, join("b", 1));
    bench.say(1, join("c", 2));
    bench.say(1, join("b", 3));
    bench.say(1, leave("a", 4));
    bench.say(1, join("c", 2));
    assert_eq!(
        bench.heard(1),
        ["ack 1", "ack 2 BadRequest", "ack 3", "ack 4", "ack 2"]
    );
    bench.connect(2, {
        let mut new = json(2);
        new.groups = vec!["a".into(), "b".into(), "c".into()];
        new
    });
    assert_eq!(bench.heard(2), ["refuse INVALID_ARGUMENT"]);
}

#[test]
fn well_formed_requests_that_cannot_be_served_are_acked_and_not_fatal() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.forget();
    bench.say(1, request("{'type':'sequenceAck','sequenceId':5}"));
    bench.say(1, request("{'type':'joinGroup','group':' ','ackId':1}"));
    bench.say(1, join("g", 1));
    assert_eq!(bench.heard(1), ["ack 1 BadRequest", "ack 1"]);
}

#[test]
fn a_client_that_has_gone_is_told_nothing_more() {
    let mut bench = Bench::new();
    bench.open(1, &["g"]);
    bench.open(2, &["g"]);
    bench.forget();
    bench.gone(1);
    bench.say(1, send("g", "", "from the dead"));
    bench.say(2, send("g", "", "x"));
    assert_eq!(bench.heard(1), [""; 0]);
    assert_eq!(bench.heard(2), ["g u2: x"]);
}

#[test]
fn an_anonymous_client_has_no_name_in_what_it_publishes() {
    let mut bench = Bench::new();
    let mut new = json(1);
    new.user_id = None;
    new.groups = vec!["g".into()];
    bench.connect(1, new);
    bench.opened(1);
    bench.say(1, send("g", "", "x"));
    assert_eq!(
        bench.heard(1),
        ["admit json.webpubsub.azure.v1", "connected c1 null", "g: x"]
    );
}
