use alloc::{collections::BTreeSet, string::String, vec, vec::Vec};

use bytes::Bytes;
use headwater_proto::{
    Code,
    v1::{self, DataType, command::Operation as Op, result::Value},
    wps_rpc,
};
use prost::Message as _;

use super::payload_of;
use crate::link::calls::{ACK_CONNECT, ACK_MESSAGE, REGISTER, translate::Method};

fn text() -> Option<v1::Payload> {
    Some(payload_of(DataType::Text, b"hi"))
}

/// Every operation with every field that a method has for it.
fn operations() -> Vec<(Op, &'static str)> {
    let hub = || String::from("chat");
    let (id, group, user_id, reason) = (
        || String::from("c"),
        || String::from("g"),
        || String::from("u"),
        || String::from("r"),
    );
    let excluded_connections = || vec![String::from("x"), String::from("y")];
    let (connection_id, permission) = (id, v1::Permission::SendToGroup.into());
    vec![
        (
            Op::SendToAll(v1::SendToAllRequest {
                hub: hub(),
                payload: text(),
                excluded_connections: excluded_connections(),
            }),
            "SendToAll",
        ),
        (
            Op::SendToGroup(v1::SendToGroupRequest {
                hub: hub(),
                group: group(),
                payload: text(),
                excluded_connections: excluded_connections(),
                origin_connection: id(),
                no_echo: true,
            }),
            "sendToGroup",
        ),
        (
            Op::SendToUser(v1::SendToUserRequest {
                hub: hub(),
                user_id: user_id(),
                payload: text(),
            }),
            "sendToUser",
        ),
        (
            Op::SendToConnection(v1::SendToConnectionRequest {
                hub: hub(),
                connection_id: connection_id(),
                payload: text(),
            }),
            "sendToConnection",
        ),
        (
            Op::AddConnectionToGroup(v1::AddConnectionToGroupRequest {
                hub: hub(),
                group: group(),
                connection_id: id(),
            }),
            "joinGroup",
        ),
        (
            Op::RemoveConnectionFromGroup(v1::RemoveConnectionFromGroupRequest {
                hub: hub(),
                group: group(),
                connection_id: id(),
            }),
            "leaveGroup",
        ),
        (
            Op::RemoveConnectionFromAllGroups(v1::RemoveConnectionFromAllGroupsRequest {
                hub: hub(),
                connection_id: id(),
            }),
            "leaveAllGroups",
        ),
        (
            Op::AddUserToGroup(v1::AddUserToGroupRequest {
                hub: hub(),
                group: group(),
                user_id: user_id(),
            }),
            "addUserToGroup",
        ),
        (
            Op::RemoveUserFromGroup(v1::RemoveUserFromGroupRequest {
                hub: hub(),
                group: group(),
                user_id: user_id(),
            }),
            "removeUserFromGroup",
        ),
        (
            Op::RemoveUserFromAllGroups(v1::RemoveUserFromAllGroupsRequest {
                hub: hub(),
                user_id: user_id(),
            }),
            "removeUserFromAllGroups",
        ),
        (
            Op::CloseConnection(v1::CloseConnectionRequest {
                hub: hub(),
                connection_id: id(),
                reason: reason(),
            }),
            "closeConnection",
        ),
        (
            Op::CloseUser(v1::CloseUserRequest {
                hub: hub(),
                user_id: user_id(),
                reason: reason(),
                excluded_connections: excluded_connections(),
            }),
            "closeUser",
        ),
        (
            Op::CloseGroup(v1::CloseGroupRequest {
                hub: hub(),
                group: group(),
                reason: reason(),
                excluded_connections: excluded_connections(),
            }),
            "closeGroup",
        ),
        (
            Op::CloseAll(v1::CloseAllRequest {
                hub: hub(),
                reason: reason(),
                excluded_connections: excluded_connections(),
            }),
            "closeAll",
        ),
        (
            Op::ConnectionExists(v1::ConnectionExistsRequest {
                hub: hub(),
                connection_id: id(),
            }),
            "connectionExists",
        ),
        (
            Op::UserExists(v1::UserExistsRequest {
                hub: hub(),
                user_id: user_id(),
            }),
            "userExists",
        ),
        (
            Op::GroupExists(v1::GroupExistsRequest {
                hub: hub(),
                group: group(),
            }),
            "groupExists",
        ),
        (
            Op::ConnectionInGroup(v1::ConnectionInGroupRequest {
                hub: hub(),
                group: group(),
                connection_id: id(),
            }),
            "connectionInGroup",
        ),
        (
            Op::UserInGroup(v1::UserInGroupRequest {
                hub: hub(),
                group: group(),
                user_id: user_id(),
            }),
            "userInGroup",
        ),
        (
            Op::ListMembers(v1::ListMembersRequest {
                hub: hub(),
                group: group(),
                limit: 7,
                continuation: reason(),
            }),
            "listMembers",
        ),
        (
            Op::GrantPermission(v1::GrantPermissionRequest {
                hub: hub(),
                connection_id: id(),
                permission,
                group: group(),
            }),
            "grantPermission",
        ),
        (
            Op::RevokePermission(v1::RevokePermissionRequest {
                hub: hub(),
                connection_id: id(),
                permission,
                group: group(),
            }),
            "revokePermission",
        ),
        (
            Op::CheckPermission(v1::CheckPermissionRequest {
                hub: hub(),
                connection_id: id(),
                permission,
                group: group(),
            }),
            "checkPermission",
        ),
    ]
}

#[test]
fn every_command_there_and_back() {
    for (operation, name) in operations() {
        let (method, request) = Method::encode(operation.clone(), "other").expect("encodable");
        assert_eq!(method.path().strip_prefix("/WpsRpc/"), Some(name));
        assert_eq!(method.decode(request), Ok(operation), "{name}");
    }
    assert_eq!(Method::ALL.len(), operations().len(), "one for each");
}

#[test]
fn a_command_that_names_no_hub_is_for_that_of_the_link() {
    let operation = Op::UserExists(v1::UserExistsRequest {
        user_id: "u".into(),
        ..v1::UserExistsRequest::default()
    });
    let (_, request) = Method::encode(operation, "chat").expect("encodable");
    let request = wps_rpc::UserExistsRequest::decode(request).expect("decodable");
    assert_eq!(request.hub, "chat");
}

#[test]
fn the_methods_are_those_of_the_proto_file() {
    let proto = include_str!("../../../../../../proto/headwater/wps_rpc.proto");
    let calls = proto.lines().filter_map(|line| {
        let call = line.trim().strip_prefix("rpc ")?;
        call.split('(').next()
    });
    let written: BTreeSet<_> = calls.collect();
    let paths = Method::ALL.iter().map(|method| method.path());
    let served: BTreeSet<_> = paths
        .chain([REGISTER, ACK_CONNECT, ACK_MESSAGE])
        .filter_map(|path| path.strip_prefix("/WpsRpc/"))
        .collect();
    assert_eq!(served, written);
}

#[test]
fn a_send_to_all_without_echo_leaves_its_origin_out() {
    let decoded = |request: wps_rpc::SendToAllRequest| {
        let operation = Method::SendToAll.decode(request.encode_to_vec().into());
        match operation {
            Ok(Op::SendToAll(operation)) => operation.excluded_connections,
            other => panic!("{other:?}"),
        }
    };
    let request = wps_rpc::SendToAllRequest {
        connection_id: "c".into(),
        excluded_connections: vec!["x".into()],
        ..wps_rpc::SendToAllRequest::default()
    };
    assert_eq!(decoded(request.clone()), ["x"], "it wants its echo");
    let no_echo = wps_rpc::SendToAllRequest {
        no_echo: true,
        ..request
    };
    assert_eq!(decoded(no_echo), ["x", "c"]);
    let nobody = wps_rpc::SendToAllRequest {
        no_echo: true,
        ..wps_rpc::SendToAllRequest::default()
    };
    assert!(decoded(nobody).is_empty(), "an origin has a name");
}

#[test]
fn bad_bytes_are_refused_by_every_method() {
    let bad = Bytes::from_static(b"\xff\xff");
    for method in Method::ALL {
        let code = method.decode(bad.clone()).map_err(|status| status.code);
        assert_eq!(code, Err(Code::InvalidArgument), "{method:?}");
    }
    let broken = Method::UserExists.decode_response(bad.clone());
    assert_eq!(broken.map_err(|status| status.code), Err(Code::Internal));
    let broken = Method::ListMembers.decode_response(bad);
    assert_eq!(broken.map_err(|status| status.code), Err(Code::Internal));
}

#[test]
fn a_value_of_each_kind_there_and_back() {
    let yes = Value::Answer(v1::Answer { yes: true });
    let page = Value::Members(v1::Members {
        members: vec![
            v1::Member {
                connection_id: "c".into(),
                user_id: Some("u".into()),
            },
            v1::Member {
                connection_id: "d".into(),
                user_id: None,
            },
        ],
        continuation: "more".into(),
    });
    let told = Value::Delivered(v1::Delivered { connections: 3 });
    let joined = Value::Changed(v1::Changed { connections: 1 });
    for (method, value) in [
        (Method::GroupExists, yes.clone()),
        (Method::ListMembers, page),
        (Method::SendToAll, told),
        (Method::JoinGroup, joined),
    ] {
        let response = method.encode_response(value.clone()).expect("its kind");
        assert_eq!(method.decode_response(response), Ok(value), "{method:?}");
    }
    let nobody = Value::Changed(v1::Changed { connections: 0 });
    let empty = Method::JoinGroup.encode_response(nobody.clone());
    let empty = empty.expect("its kind");
    assert!(empty.is_empty(), "the scheme's own answer");
    assert_eq!(Method::JoinGroup.decode_response(empty), Ok(nobody));
    let misfit = Method::JoinGroup.encode_response(yes);
    assert_eq!(misfit.map_err(|status| status.code), Err(Code::Internal));
}
