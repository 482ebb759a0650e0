//! S1-14 and S1-22: one test for each management call, unknown and malformed names included.

use headwater_proto::v1::{self, command::Operation as Op};

use crate::bench::*;

/// Clients 1 and 2 are connections of `ann`, 3 is of `bob`; 1 and 3 are in `g`.
pub fn room() -> Bench {
    let mut bench = Bench::new();
    for (n, user, groups) in [(1, "ann", &["g"][..]), (2, "ann", &[]), (3, "bob", &["g"])] {
        let mut new = json(n);
        new.user_id = Some(user.into());
        new.roles.clear();
        new.groups = groups.iter().map(ToString::to_string).collect();
        bench.connect(n, new);
        bench.opened(n);
    }
    bench.forget();
    bench
}

/// What each of these says, one after the other in one room.
pub fn check(operations: impl IntoIterator<Item = (Op, &'static str)>) -> Bench {
    let mut bench = room();
    for (operation, expected) in operations {
        let shown = format!("{operation:?}");
        let answer = match bench.hub.command(operation, bench.now) {
            Ok(value) => show_value(Some(&value)),
            Err(status) => status.code.to_string(),
        };
        assert_eq!(answer, expected, "{shown}");
    }
    bench
}

#[test]
fn s1_14_send_to_all() {
    let mut bench = check([
        (
            op!(SendToAll SendToAllRequest { payload: text("x") }),
            "delivered 3",
        ),
        (
            op!(SendToAll SendToAllRequest { payload: text("y"), excluded_connections: ["c1".to_string()] }),
            "delivered 2",
        ),
        (op!(SendToAll SendToAllRequest {}), "INVALID_ARGUMENT"),
    ]);
    assert_eq!(bench.heard(1), ["server: x"]);
    assert_eq!(bench.heard(2), ["server: x", "server: y"]);
}

#[test]
fn s1_14_send_to_group() {
    let mut bench = check([
        (to_group("g", "x"), "delivered 2"),
        (to_group("nobody is here", "x"), "delivered 0"),
        (to_group("", "x"), "INVALID_ARGUMENT"),
        (to_group(" ", "x"), "INVALID_ARGUMENT"),
        (
            op!(SendToGroup SendToGroupRequest { group: "g" }),
            "INVALID_ARGUMENT",
        ),
    ]);
    assert_eq!(bench.heard(1), ["g: x"]);
    assert_eq!(bench.heard(2), [""; 0]);
}

#[test]
fn s1_14_send_to_user() {
    let mut bench = check([
        (
            op!(SendToUser SendToUserRequest { user_id: "ann", payload: text("x") }),
            "delivered 2",
        ),
        (
            op!(SendToUser SendToUserRequest { user_id: "zoe", payload: text("x") }),
            "delivered 0",
        ),
        (
            op!(SendToUser SendToUserRequest { payload: text("x") }),
            "INVALID_ARGUMENT",
        ),
        (
            op!(SendToUser SendToUserRequest { user_id: "zoe" }),
            "INVALID_ARGUMENT",
        ),
    ]);
    assert_eq!(bench.heard(2), ["server: x"]);
    assert_eq!(bench.heard(3), [""; 0]);
}

#[test]
fn s1_14_send_to_connection() {
    let bad = v1::Payload {
        r#type: v1::DataType::Json.into(),
        data: "{".into(),
    };
    let mut bench = check([
        (
            op!(SendToConnection SendToConnectionRequest { connection_id: "c2", payload: text("x") }),
            "delivered 1",
        ),
        (
            op!(SendToConnection SendToConnectionRequest { connection_id: "c9", payload: text("x") }),
            "NOT_FOUND",
        ),
        (
            op!(SendToConnection SendToConnectionRequest { payload: text("x") }),
            "INVALID_ARGUMENT",
        ),
        (
            op!(SendToConnection SendToConnectionRequest { connection_id: "c2" }),
            "INVALID_ARGUMENT",
        ),
        (
            op!(SendToConnection SendToConnectionRequest { connection_id: "c2", payload: bad }),
            "INVALID_ARGUMENT",
        ),
        (
            op!(SendToConnection SendToConnectionRequest { connection_id: "c2", payload: v1::Payload::default() }),
            "delivered 1",
        ),
    ]);
    assert_eq!(
        bench.heard(2),
        ["server: x", "server: "],
        "empty is not absent"
    );
}

#[test]
fn s1_14_add_connection_to_group() {
    let mut bench = check([
        (
            op!(AddConnectionToGroup AddConnectionToGroupRequest { group: "g", connection_id: "c2" }),
            "changed 1",
        ),
        (
            op!(AddConnectionToGroup AddConnectionToGroupRequest { group: "g", connection_id: "c2" }),
            "changed 0",
        ),
        (
            op!(AddConnectionToGroup AddConnectionToGroupRequest { group: "g", connection_id: "c9" }),
            "NOT_FOUND",
        ),
        (
            op!(AddConnectionToGroup AddConnectionToGroupRequest { group: "", connection_id: "c2" }),
            "INVALID_ARGUMENT",
        ),
        (
            op!(AddConnectionToGroup AddConnectionToGroupRequest { group: "g" }),
            "INVALID_ARGUMENT",
        ),
        (to_group("g", "x"), "delivered 3"),
    ]);
    assert_eq!(bench.heard(2), ["g: x"]);
}

#[test]
fn s1_14_remove_connection_from_group() {
    let mut bench = check([
        (
            op!(RemoveConnectionFromGroup RemoveConnectionFromGroupRequest { group: "g", connection_id: "c1" }),
            "changed 1",
        ),
        (
            op!(RemoveConnectionFromGroup RemoveConnectionFromGroupRequest { group: "g", connection_id: "c1" }),
            "changed 0",
        ),
        (
            op!(RemoveConnectionFromGroup RemoveConnectionFromGroupRequest { group: "g", connection_id: "c9" }),
            "NOT_FOUND",
        ),
        (
            op!(RemoveConnectionFromGroup RemoveConnectionFromGroupRequest { group: " ", connection_id: "c1" }),
            "INVALID_ARGUMENT",
        ),
        (to_group("g", "x"), "delivered 1"),
    ]);
    assert_eq!(bench.heard(1), [""; 0]);
}

#[test]
fn s1_14_remove_connection_from_all_groups() {
    check([
        (
            op!(RemoveConnectionFromAllGroups RemoveConnectionFromAllGroupsRequest { connection_id: "c1" }),
            "changed 1",
        ),
        (
            op!(RemoveConnectionFromAllGroups RemoveConnectionFromAllGroupsRequest { connection_id: "c1" }),
            "changed 0",
        ),
        (
            op!(RemoveConnectionFromAllGroups RemoveConnectionFromAllGroupsRequest { connection_id: "c9" }),
            "NOT_FOUND",
        ),
        (
            op!(RemoveConnectionFromAllGroups RemoveConnectionFromAllGroupsRequest {}),
            "INVALID_ARGUMENT",
        ),
        (to_group("g", "x"), "delivered 1"),
    ]);
}

#[test]
fn s1_14_add_user_to_group() {
    check([
        (
            op!(AddUserToGroup AddUserToGroupRequest { group: "g", user_id: "ann" }),
            "changed 1",
        ),
        (
            op!(AddUserToGroup AddUserToGroupRequest { group: "g", user_id: "ann" }),
            "changed 0",
        ),
        (
            op!(AddUserToGroup AddUserToGroupRequest { group: "g", user_id: "zoe" }),
            "NOT_FOUND",
        ),
        (
            op!(AddUserToGroup AddUserToGroupRequest { group: "g" }),
            "INVALID_ARGUMENT",
        ),
        (to_group("g", "x"), "delivered 3"),
    ]);
}

#[test]
fn s1_14_remove_user_from_group() {
    check([
        (
            op!(RemoveUserFromGroup RemoveUserFromGroupRequest { group: "g", user_id: "ann" }),
            "changed 1",
        ),
        (
            op!(RemoveUserFromGroup RemoveUserFromGroupRequest { group: "g", user_id: "ann" }),
            "changed 0",
        ),
        (
            op!(RemoveUserFromGroup RemoveUserFromGroupRequest { group: "g", user_id: "zoe" }),
            "changed 0",
        ),
        (
            op!(RemoveUserFromGroup RemoveUserFromGroupRequest { group: "", user_id: "ann" }),
            "INVALID_ARGUMENT",
        ),
        (to_group("g", "x"), "delivered 1"),
    ]);
}

#[test]
fn s1_14_remove_user_from_all_groups() {
    check([
        (
            op!(RemoveUserFromAllGroups RemoveUserFromAllGroupsRequest { user_id: "ann" }),
            "changed 1",
        ),
        (
            op!(RemoveUserFromAllGroups RemoveUserFromAllGroupsRequest { user_id: "zoe" }),
            "changed 0",
        ),
        (
            op!(RemoveUserFromAllGroups RemoveUserFromAllGroupsRequest {}),
            "INVALID_ARGUMENT",
        ),
        (to_group("g", "x"), "delivered 1"),
    ]);
}

#[test]
fn s1_14_close_connection() {
    let mut bench = check([
        (
            op!(CloseConnection CloseConnectionRequest { connection_id: "c1", reason: "bye" }),
            "changed 1",
        ),
        (
            op!(CloseConnection CloseConnectionRequest { connection_id: "c1", reason: "bye" }),
            "NOT_FOUND",
        ),
        (
            op!(CloseConnection CloseConnectionRequest {}),
            "INVALID_ARGUMENT",
        ),
        (
            op!(ConnectionExists ConnectionExistsRequest { connection_id: "c1" }),
            "no",
        ),
    ]);
    assert_eq!(bench.heard(1), ["disconnected: bye", "close 1000 bye"]);
    assert_eq!(bench.hub.connections(), 2);
}

#[test]
fn s1_14_close_user() {
    let mut bench = check([
        (
            op!(CloseUser CloseUserRequest { user_id: "ann", reason: "bye", excluded_connections: ["c1".to_string(), "c1".to_string()] }),
            "changed 1",
        ),
        (
            op!(CloseUser CloseUserRequest { user_id: "zoe" }),
            "changed 0",
        ),
        (op!(CloseUser CloseUserRequest {}), "INVALID_ARGUMENT"),
    ]);
    assert_eq!(bench.heard(1), [""; 0]);
    assert_eq!(bench.heard(2), ["disconnected: bye", "close 1000 bye"]);
}

#[test]
fn s1_14_close_group() {
    let mut bench = check([
        (
            op!(CloseGroup CloseGroupRequest { group: "g", reason: "bye", excluded_connections: ["c3".to_string()] }),
            "changed 1",
        ),
        (
            op!(CloseGroup CloseGroupRequest { group: "g", reason: "bye" }),
            "changed 1",
        ),
        (
            op!(CloseGroup CloseGroupRequest { group: "g" }),
            "changed 0",
        ),
        (op!(CloseGroup CloseGroupRequest {}), "INVALID_ARGUMENT"),
    ]);
    assert_eq!(bench.heard(1), ["disconnected: bye", "close 1000 bye"]);
    assert_eq!(bench.heard(2), [""; 0]);
    assert_eq!(bench.heard(3), ["disconnected: bye", "close 1000 bye"]);
}

#[test]
fn s1_14_close_all() {
    let mut bench = check([
        (
            op!(CloseAll CloseAllRequest { reason: "bye", excluded_connections: ["c3".to_string()] }),
            "changed 2",
        ),
        (op!(CloseAll CloseAllRequest { reason: "bye" }), "changed 1"),
        (op!(CloseAll CloseAllRequest {}), "changed 0"),
    ]);
    assert_eq!(bench.heard(3), ["disconnected: bye", "close 1000 bye"]);
    assert!(bench.hub.is_idle());
}

#[test]
fn s1_22_results_say_how_it_went_on_the_link() {
    let mut bench = room();
    bench.link(1, register("app"));
    bench.forget();
    bench.command(
        1,
        op!(AddConnectionToGroup AddConnectionToGroupRequest { group: "g", connection_id: "c9" }),
    );
    bench.command(
        1,
        op!(AddConnectionToGroup AddConnectionToGroupRequest { group: "g", connection_id: "c2" }),
    );
    bench.command(
        1,
        op!(ConnectionExists ConnectionExistsRequest { connection_id: "c9" }),
    );
    bench.command(
        1,
        op!(SendToAll SendToAllRequest { hub: "other", payload: text("x") }),
    );
    bench.command(
        1,
        op!(SendToAll SendToAllRequest { hub: "Chat", payload: text("x") }),
    );
    assert_eq!(
        bench.sent(1),
        [
            "result 1 NOT_FOUND",
            "result 2 changed 1",
            "result 3 no",
            "result 4 INVALID_ARGUMENT",
            "result 5 delivered 3"
        ]
    );
}

#[test]
fn s1_14_a_full_connection_joins_no_further_group() {
    let mut bench = Bench::with(|config| config.groups_per_connection_max = 1);
    bench.open(1, &["a"]);
    let add = |group: &str| op!(AddConnectionToGroup AddConnectionToGroupRequest { group: group, connection_id: "c1" });
    let full = bench.hub.command(add("b"), bench.now).unwrap_err();
    assert_eq!(full.code, headwater_proto::Code::ResourceExhausted);
    assert!(
        bench.hub.command(add("a"), bench.now).is_ok(),
        "it is in a already"
    );
    let user = op!(AddUserToGroup AddUserToGroupRequest { group: "b", user_id: "u1" });
    assert!(
        bench.hub.command(user, bench.now).is_err(),
        "by its user neither"
    );
}

#[test]
fn a_connection_exists_from_its_connected_on() {
    let mut bench = Bench::new();
    bench.connect(1, json(1));
    let exists = || op!(ConnectionExists ConnectionExistsRequest { connection_id: "c1" });
    let mut answers = Vec::new();
    answers.push(show_value(
        bench.hub.command(exists(), bench.now).ok().as_ref(),
    ));
    bench.opened(1);
    answers.push(show_value(
        bench.hub.command(exists(), bench.now).ok().as_ref(),
    ));
    bench.gone(1);
    answers.push(show_value(
        bench.hub.command(exists(), bench.now).ok().as_ref(),
    ));
    assert_eq!(answers, ["no", "yes", "no"]);
}
