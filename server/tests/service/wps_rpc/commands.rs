//! Commands: S1-11 … S1-15, one test for each call, with what it does and an unknown name.

use headwater_proto::wps_rpc::*;
use headwater_rpc::Code;
use serde_json::{Value, json};

use crate::{delivery::from_server, support::*};

fn hub() -> String {
    "chat".into()
}

fn text() -> Option<Message> {
    Some(text_message("x"))
}

fn from_group(data: &str) -> Value {
    json!({"type": "message", "from": "group", "group": "g", "dataType": "text", "data": data})
}

/// An application that wants no events, and a client `ada` in group `g`.
async fn start(over: Over) -> (Stage, App, Client) {
    let stage = Stage::start().await;
    let client = stage.rpc_client(over).await;
    let message = RegisterMessage {
        events: Some(EventFilter::default()),
        ..registration()
    };
    let app = App::register(client, &token(&[]), message).await;
    let mut knock = stage.knock("chat").group("g");
    knock.roles = vec!["webpubsub.sendToGroup.g".into()];
    let client = knock.enter().await;
    (stage, app.expect("registered"), client)
}

/// What is so after a command, asked of the service.
async fn in_group(app: &App, connection_id: &str, group: &str) -> bool {
    let request = ConnectionInGroupRequest {
        connection_id: connection_id.into(),
        group_name: group.into(),
        hub: hub(),
    };
    let answer: Answer = app.call("connectionInGroup", request).await.expect("known");
    answer.yes
}

fn to_group(text: &str) -> SendToGroupRequest {
    SendToGroupRequest {
        group_name: "g".into(),
        message: Some(text_message(text)),
        hub: hub(),
        ..SendToGroupRequest::default()
    }
}

#[tokio::test]
async fn s1_11_send_to_group_reaches_its_members_only() {
    for over in Over::ALL {
        let (stage, app, mut ada) = start(over).await;
        let mut bob = stage.knock("chat").group("g").enter().await;
        let mut outside = stage.client().await;
        assert_eq!(app.call("sendToGroup", to_group("x")).await, Ok(()));
        assert_eq!(ada.json().await, from_group("x"));
        assert_eq!(bob.json().await, from_group("x"));
        outside.ping().await;
        let nobody = SendToGroupRequest {
            group_name: "unknown".into(),
            ..to_group("x")
        };
        assert_eq!(app.call("sendToGroup", nobody).await, Ok(()), "no error");
    }
}

#[tokio::test]
async fn s1_12_send_to_all_reaches_the_whole_hub_and_no_other() {
    for over in Over::ALL {
        let (stage, app, mut ada) = start(over).await;
        let mut bob = stage.client().await;
        let mut elsewhere = stage.knock("other").enter().await;
        let request = SendToAllRequest {
            message: text(),
            hub: hub(),
            ..SendToAllRequest::default()
        };
        assert_eq!(app.call("SendToAll", request.clone()).await, Ok(()));
        for client in [&mut ada, &mut bob] {
            assert_eq!(client.json().await, from_server("x"));
        }
        elsewhere.ping().await;
        let quiet = SendToAllRequest {
            connection_id: ada.id.clone(),
            no_echo: true,
            ..request
        };
        assert_eq!(app.call("SendToAll", quiet).await, Ok(()));
        assert_eq!(bob.json().await, from_server("x"));
        ada.ping().await;
    }
}

#[tokio::test]
async fn s1_13_join_group_and_leave_group_move_a_connection() {
    for over in Over::ALL {
        let (stage, app, _ada) = start(over).await;
        let mut bob = stage.client().await;
        let join = JoinGroupRequest {
            connection_id: bob.id.clone(),
            group_name: "g".into(),
            hub: hub(),
        };
        let leave = LeaveGroupRequest {
            connection_id: bob.id.clone(),
            group_name: "g".into(),
            hub: hub(),
        };
        assert_eq!(app.call("joinGroup", join.clone()).await, Ok(()));
        assert_eq!(app.call("joinGroup", join).await, Ok(()), "twice is once");
        assert_eq!(app.call("sendToGroup", to_group("joined")).await, Ok(()));
        assert_eq!(app.call("leaveGroup", leave).await, Ok(()));
        assert_eq!(app.call("sendToGroup", to_group("left")).await, Ok(()));
        assert_eq!(bob.json().await, from_group("joined"));
        bob.ping().await;
    }
}

#[tokio::test]
async fn s1_15_no_echo_leaves_the_origin_out() {
    for over in Over::ALL {
        let (stage, app, mut ada) = start(over).await;
        let mut bob = stage.knock("chat").group("g").enter().await;
        let quiet = SendToGroupRequest {
            connection_id: ada.id.clone(),
            no_echo: true,
            ..to_group("quiet")
        };
        assert_eq!(app.call("sendToGroup", quiet.clone()).await, Ok(()));
        let echoed = SendToGroupRequest {
            no_echo: false,
            ..quiet.clone()
        };
        assert_eq!(app.call("sendToGroup", echoed).await, Ok(()));
        let without_bob = SendToGroupRequest {
            excluded_connections: vec![bob.id.clone()],
            ..quiet
        };
        assert_eq!(app.call("sendToGroup", without_bob).await, Ok(()));
        assert_eq!(ada.json().await, from_group("quiet"), "the second only");
        ada.ping().await;
        for _ in 0..2 {
            assert_eq!(bob.json().await, from_group("quiet"));
        }
        bob.ping().await;
    }
}

/// One test for each call: what it answers to a known name, what is so then, and what it answers to an unknown one.
macro_rules! calls {
    ($($test:ident: $name:literal $request:ident { $($field:ident: $value:expr),* } for $by:ident = $known:expr,
        -> $answer:expr, then $check:expr, unknown -> $unknown:expr;)*) => {
        $(#[tokio::test]
        async fn $test() {
            for over in Over::ALL {
                let (stage, app, mut ada) = start(over).await;
                #[allow(clippy::needless_update, reason = "most have no other field")]
                let request = |by: String| $request {
                    $($field: $value,)*
                    $by: by,
                    hub: hub(),
                    ..$request::default()
                };
                let unknown = app.call($name, request("unknown".into())).await;
                assert_eq!(unknown.map_err(|status| status.code), $unknown, "unknown");
                let known: fn(&Client) -> String = $known;
                let answer = app.call($name, request(known(&ada))).await;
                let expected = $answer;
                assert_eq!(answer, Ok(expected(&ada)));
                let check = $check;
                check(&stage, &app, &mut ada).await;
            }
        })*
    };
}

fn id(client: &Client) -> String {
    client.id.clone()
}
fn ada(_: &Client) -> String {
    "ada".into()
}
fn g(_: &Client) -> String {
    "g".into()
}
fn empty(_: &Client) {}
fn yes(_: &Client) -> Answer {
    Answer { yes: true }
}
fn ada_alone(client: &Client) -> Members {
    let member = Member {
        connection_id: client.id.clone(),
        user_id: Some("ada".into()),
    };
    Members {
        members: vec![member],
        continuation: String::new(),
    }
}

async fn nothing_more(_: &Stage, _: &App, ada: &mut Client) {
    ada.ping().await;
}
async fn heard(_: &Stage, _: &App, ada: &mut Client) {
    assert_eq!(ada.json().await, from_server("x"));
    ada.ping().await;
}
async fn in_h(_: &Stage, app: &App, ada: &mut Client) {
    assert!(in_group(app, &ada.id, "h").await, "it has joined");
}
async fn not_in_g(_: &Stage, app: &App, ada: &mut Client) {
    assert!(!in_group(app, &ada.id, "g").await, "it has left");
}
async fn closed(stage: &Stage, _: &App, ada: &mut Client) {
    let (_, close) = ada.rest().await;
    assert_eq!(close, Some((1000, "enough".into())));
    until("it has gone", || stage.service.counts().0 == 0).await;
}
async fn may_send(app: &App, ada: &Client) -> bool {
    let request = CheckPermissionRequest {
        connection_id: ada.id.clone(),
        group_name: "g".into(),
        permission: Permission::SendToGroup.into(),
        hub: hub(),
    };
    let answer: Answer = app.call("checkPermission", request).await.expect("known");
    answer.yes
}
async fn granted(_: &Stage, app: &App, ada: &mut Client) {
    assert!(may_send(app, ada).await);
}
async fn revoked(_: &Stage, app: &App, ada: &mut Client) {
    assert!(!may_send(app, ada).await);
}

const DONE: Result<(), Code> = Ok(());
const NO_SUCH: Result<(), Code> = Err(Code::NotFound);
const NO_ANSWER: Result<Answer, Code> = Err(Code::NotFound);
const NO: Result<Answer, Code> = Ok(Answer { yes: false });

calls! {
    s1_14_send_to_user: "sendToUser" SendToUserRequest { message: text() } for user_id = ada,
        -> empty, then heard, unknown -> DONE;
    s1_14_send_to_connection: "sendToConnection" SendToConnectionRequest { message: text() } for connection_id = id,
        -> empty, then heard, unknown -> NO_SUCH;
    s1_14_join_group: "joinGroup" JoinGroupRequest { group_name: "h".into() } for connection_id = id,
        -> empty, then in_h, unknown -> NO_SUCH;
    s1_14_leave_group: "leaveGroup" LeaveGroupRequest { group_name: "g".into() } for connection_id = id,
        -> empty, then not_in_g, unknown -> NO_SUCH;
    s1_14_leave_all_groups: "leaveAllGroups" LeaveAllGroupsRequest {} for connection_id = id,
        -> empty, then not_in_g, unknown -> NO_SUCH;
    s1_14_add_user_to_group: "addUserToGroup" AddUserToGroupRequest { group_name: "h".into() } for user_id = ada,
        -> empty, then in_h, unknown -> NO_SUCH;
    s1_14_remove_user_from_group: "removeUserFromGroup" RemoveUserFromGroupRequest { group_name: "g".into() } for user_id = ada,
        -> empty, then not_in_g, unknown -> DONE;
    s1_14_remove_user_from_all_groups: "removeUserFromAllGroups" RemoveUserFromAllGroupsRequest {} for user_id = ada,
        -> empty, then not_in_g, unknown -> DONE;
    s1_14_close_connection: "closeConnection" CloseConnectionRequest { reason: "enough".into() } for connection_id = id,
        -> empty, then closed, unknown -> NO_SUCH;
    s1_14_close_user: "closeUser" CloseUserRequest { reason: "enough".into() } for user_id = ada,
        -> empty, then closed, unknown -> DONE;
    s1_14_close_group: "closeGroup" CloseGroupRequest { reason: "enough".into() } for group_name = g,
        -> empty, then closed, unknown -> DONE;
    s1_14_connection_exists: "connectionExists" ConnectionExistsRequest {} for connection_id = id,
        -> yes, then nothing_more, unknown -> NO;
    s1_14_user_exists: "userExists" UserExistsRequest {} for user_id = ada,
        -> yes, then nothing_more, unknown -> NO;
    s1_14_group_exists: "groupExists" GroupExistsRequest {} for group_name = g,
        -> yes, then nothing_more, unknown -> NO;
    s1_14_connection_in_group: "connectionInGroup" ConnectionInGroupRequest { group_name: "g".into() } for connection_id = id,
        -> yes, then nothing_more, unknown -> NO;
    s1_14_user_in_group: "userInGroup" UserInGroupRequest { group_name: "g".into() } for user_id = ada,
        -> yes, then nothing_more, unknown -> NO;
    s1_14_list_members: "listMembers" ListMembersRequest {} for group_name = g,
        -> ada_alone, then nothing_more, unknown -> Ok(Members::default());
    s1_14_grant_permission: "grantPermission" GrantPermissionRequest { group_name: "g".into(), permission: 2 } for connection_id = id,
        -> empty, then granted, unknown -> NO_SUCH;
    s1_14_revoke_permission: "revokePermission" RevokePermissionRequest { group_name: "g".into(), permission: 2 } for connection_id = id,
        -> empty, then revoked, unknown -> NO_SUCH;
    s1_14_check_permission: "checkPermission" CheckPermissionRequest { group_name: "g".into(), permission: 2 } for connection_id = id,
        -> yes, then nothing_more, unknown -> NO_ANSWER;
}

#[tokio::test]
async fn s1_14_close_all_closes_its_hub_alone() {
    let (stage, app, mut ada) = start(Over::Http2).await;
    let mut elsewhere = stage.knock("other").enter().await;
    let close = |hub: &str| CloseAllRequest {
        reason: "enough".into(),
        hub: hub.into(),
        ..CloseAllRequest::default()
    };
    assert_eq!(app.call("closeAll", close("unknown")).await, Ok(()));
    ada.ping().await;
    assert_eq!(app.call("closeAll", close("chat")).await, Ok(()));
    let (_, end) = ada.rest().await;
    assert_eq!(end, Some((1000, "enough".into())));
    elsewhere.ping().await;
}

#[tokio::test]
async fn a_command_that_says_nothing_or_comes_without_a_token_is_refused() {
    let (_stage, app, mut ada) = start(Over::Http2).await;
    let empty = SendToGroupRequest {
        message: Some(Message { data: None }),
        ..to_group("x")
    };
    for request in [
        empty,
        SendToGroupRequest {
            message: None,
            ..to_group("x")
        },
    ] {
        let refused = app.call::<()>("sendToGroup", request).await;
        assert_eq!(
            refused.map_err(|status| status.code),
            Err(Code::InvalidArgument)
        );
    }
    for (token, code) in [
        (String::new(), Code::Unauthenticated),
        (token_by(&foreign_key(), &[]), Code::Unauthenticated),
        (token(&["other"]), Code::PermissionDenied),
    ] {
        let refused = call::<()>(&app.client, &token, "sendToGroup", to_group("x")).await;
        assert_eq!(refused.map_err(|status| status.code), Err(code));
    }
    ada.ping().await;
}
