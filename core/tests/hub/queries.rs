//! S1-14: what applications ask of a hub, and the permissions that they give.

use headwater_proto::v1::{self};

use crate::{bench::*, management::check};

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
    assert_eq!(
        show_value(bench.hub.command(bob, bench.now).ok().as_ref()),
        "no"
    );
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
