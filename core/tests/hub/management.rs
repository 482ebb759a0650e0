//! S1-14 and S1-22: one test for each management call, unknown and malformed names included.

use headwater_proto::v1::{self, command::Operation as Op};

use crate::bench::*;

/// Clients 1 and 2 are connections of `ann`, 3 is of `bob`; 1 and 3 are in `g`.
fn room() -> Bench {
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
fn check(operations: impl IntoIterator<Item = (Op, &'static str)>) -> Bench {
    let mut bench = room();
    for (operation, expected) in operations {
        let shown = format!("{operation:?}");
        let answer = match bench.hub.command(operation) {
            Ok(value) => show_value(Some(&value)),
            Err(status) => status.code.to_string(),
        };
        assert_eq!(answer, expected, "{shown}");
    }
    bench
}

/// Builds a request; `hub` stays empty, as on a link.
macro_rules! op {
    ($name:ident $request:ident { $($field:ident: $value:expr),* }) => {
        Op::$name(v1::$request { $($field: $value.into(),)* ..v1::$request::default() })
    };
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
fn s1_14_connection_exists() {
    check([
        (
            op!(ConnectionExists ConnectionExistsRequest { connection_id: "c1" }),
            "yes",
        ),
        (
            op!(ConnectionExists ConnectionExistsRequest { connection_id: "c9" }),
            "no",
        ),
        (
            op!(ConnectionExists ConnectionExistsRequest {}),
            "INVALID_ARGUMENT",
        ),
    ]);
}

#[test]
fn s1_14_user_exists() {
    let mut bench = check([
        (op!(UserExists UserExistsRequest { user_id: "bob" }), "yes"),
        (op!(UserExists UserExistsRequest { user_id: "zoe" }), "no"),
        (op!(UserExists UserExistsRequest {}), "INVALID_ARGUMENT"),
    ]);
    bench.gone(3);
    let bob = op!(UserExists UserExistsRequest { user_id: "bob" });
    assert_eq!(show_value(bench.hub.command(bob).ok().as_ref()), "no");
}

#[test]
fn s1_14_group_exists() {
    check([
        (op!(GroupExists GroupExistsRequest { group: "g" }), "yes"),
        (op!(GroupExists GroupExistsRequest { group: "h" }), "no"),
        (op!(GroupExists GroupExistsRequest {}), "INVALID_ARGUMENT"),
        (
            op!(CloseGroup CloseGroupRequest { group: "g" }),
            "changed 2",
        ),
        (op!(GroupExists GroupExistsRequest { group: "g" }), "no"),
    ]);
}

#[test]
fn s1_14_connection_in_group() {
    check([
        (
            op!(ConnectionInGroup ConnectionInGroupRequest { group: "g", connection_id: "c1" }),
            "yes",
        ),
        (
            op!(ConnectionInGroup ConnectionInGroupRequest { group: "g", connection_id: "c2" }),
            "no",
        ),
        (
            op!(ConnectionInGroup ConnectionInGroupRequest { group: "g", connection_id: "c9" }),
            "no",
        ),
        (
            op!(ConnectionInGroup ConnectionInGroupRequest { group: "h", connection_id: "c1" }),
            "no",
        ),
        (
            op!(ConnectionInGroup ConnectionInGroupRequest { group: "g" }),
            "INVALID_ARGUMENT",
        ),
    ]);
}

#[test]
fn s1_14_user_in_group() {
    check([
        (
            op!(UserInGroup UserInGroupRequest { group: "g", user_id: "ann" }),
            "yes",
        ),
        (
            op!(UserInGroup UserInGroupRequest { group: "h", user_id: "ann" }),
            "no",
        ),
        (
            op!(UserInGroup UserInGroupRequest { group: "g", user_id: "zoe" }),
            "no",
        ),
        (
            op!(UserInGroup UserInGroupRequest { group: "", user_id: "ann" }),
            "INVALID_ARGUMENT",
        ),
    ]);
}

#[test]
fn s1_14_list_members() {
    check([
        (
            op!(ListMembers ListMembersRequest { group: "g" }),
            "members c1 c3 next \"\"",
        ),
        (
            op!(ListMembers ListMembersRequest { group: "g", limit: 1u32 }),
            "members c1 next \"1\"",
        ),
        (
            op!(ListMembers ListMembersRequest { group: "g", limit: 1u32, continuation: "1" }),
            "members c3 next \"\"",
        ),
        (
            op!(ListMembers ListMembersRequest { group: "g", continuation: "99" }),
            "members  next \"\"",
        ),
        (
            op!(ListMembers ListMembersRequest { group: "h" }),
            "members  next \"\"",
        ),
        (
            op!(ListMembers ListMembersRequest { group: "g", limit: 201u32 }),
            "INVALID_ARGUMENT",
        ),
        (
            op!(ListMembers ListMembersRequest { group: "g", continuation: "x" }),
            "INVALID_ARGUMENT",
        ),
        (op!(ListMembers ListMembersRequest {}), "INVALID_ARGUMENT"),
    ]);
}

const JOIN: i32 = v1::Permission::JoinLeaveGroup as i32;

#[test]
fn s1_14_grant_permission() {
    check([
        (
            op!(GrantPermission GrantPermissionRequest { connection_id: "c1", permission: JOIN, group: "g" }),
            "changed 1",
        ),
        (
            op!(GrantPermission GrantPermissionRequest { connection_id: "c1", permission: JOIN, group: "g" }),
            "changed 0",
        ),
        (
            op!(GrantPermission GrantPermissionRequest { connection_id: "c9", permission: JOIN }),
            "NOT_FOUND",
        ),
        (
            op!(GrantPermission GrantPermissionRequest { connection_id: "c1", permission: JOIN, group: " " }),
            "INVALID_ARGUMENT",
        ),
        (
            op!(GrantPermission GrantPermissionRequest { connection_id: "c1", permission: 99 }),
            "INVALID_ARGUMENT",
        ),
        (
            op!(CheckPermission CheckPermissionRequest { connection_id: "c1", permission: JOIN, group: "g" }),
            "yes",
        ),
        (
            op!(CheckPermission CheckPermissionRequest { connection_id: "c1", permission: JOIN, group: "h" }),
            "no",
        ),
    ]);
}

#[test]
fn s1_14_revoke_permission() {
    check([
        (
            op!(GrantPermission GrantPermissionRequest { connection_id: "c1", permission: JOIN }),
            "changed 1",
        ),
        (
            op!(GrantPermission GrantPermissionRequest { connection_id: "c1", permission: JOIN, group: "g" }),
            "changed 1",
        ),
        (
            op!(RevokePermission RevokePermissionRequest { connection_id: "c1", permission: JOIN }),
            "changed 1",
        ),
        (
            op!(RevokePermission RevokePermissionRequest { connection_id: "c1", permission: JOIN }),
            "changed 0",
        ),
        (
            op!(CheckPermission CheckPermissionRequest { connection_id: "c1", permission: JOIN, group: "g" }),
            "yes",
        ),
        (
            op!(RevokePermission RevokePermissionRequest { connection_id: "c1", permission: JOIN, group: "g" }),
            "changed 1",
        ),
        (
            op!(CheckPermission CheckPermissionRequest { connection_id: "c1", permission: JOIN, group: "g" }),
            "no",
        ),
        (
            op!(RevokePermission RevokePermissionRequest { connection_id: "c9", permission: JOIN }),
            "NOT_FOUND",
        ),
    ]);
}

#[test]
fn s1_14_check_permission() {
    check([
        (
            op!(CheckPermission CheckPermissionRequest { connection_id: "c1", permission: JOIN }),
            "no",
        ),
        (
            op!(GrantPermission GrantPermissionRequest { connection_id: "c1", permission: JOIN }),
            "changed 1",
        ),
        (
            op!(CheckPermission CheckPermissionRequest { connection_id: "c1", permission: JOIN }),
            "yes",
        ),
        (
            op!(CheckPermission CheckPermissionRequest { connection_id: "c9", permission: JOIN }),
            "NOT_FOUND",
        ),
        (
            op!(CheckPermission CheckPermissionRequest { connection_id: "c1" }),
            "INVALID_ARGUMENT",
        ),
    ]);
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
    let full = bench.hub.command(add("b")).unwrap_err();
    assert_eq!(full.code, headwater_proto::Code::ResourceExhausted);
    assert!(bench.hub.command(add("a")).is_ok(), "it is in a already");
    let user = op!(AddUserToGroup AddUserToGroupRequest { group: "b", user_id: "u1" });
    assert!(bench.hub.command(user).is_err(), "by its user neither");
}

#[test]
fn a_connection_exists_from_its_connected_on() {
    let mut bench = Bench::new();
    bench.connect(1, json(1));
    let exists = || op!(ConnectionExists ConnectionExistsRequest { connection_id: "c1" });
    let mut answers = Vec::new();
    answers.push(show_value(bench.hub.command(exists()).ok().as_ref()));
    bench.opened(1);
    answers.push(show_value(bench.hub.command(exists()).ok().as_ref()));
    bench.gone(1);
    answers.push(show_value(bench.hub.command(exists()).ok().as_ref()));
    assert_eq!(answers, ["no", "yes", "no"]);
}
