//! S1-14, S1-22: every operation, unary and on a link, for what is there and for what is not.

use headwater_rpc::{Code, Status};
use headwater_upstream::v1::{self, command::Operation, result::Value};

use crate::{
    delivery::{from_server, to_all},
    support::*,
};

/// What one operation answers, unary and on a link, which has to be the same.
struct Both {
    stage: Stage,
    link: Link,
}

impl Both {
    /// With a client `ada` in group `g` and nothing else.
    async fn start() -> (Self, Client) {
        let stage = Stage::start().await;
        let mut link = stage.link().await;
        link.register(v1::Register {
            // No event: what comes back on the link are results.
            events: Some(v1::EventFilter::default()),
            ..register()
        })
        .await;
        let mut knock = stage.knock("chat").group("g");
        knock.roles = vec!["webpubsub.sendToGroup.g".into()];
        let client = knock.enter().await;
        (Self { stage, link }, client)
    }

    async fn on_link(&mut self, operation: Operation) -> Result<Value, Status> {
        let seq = self.link.command(operation);
        let result = self.link.result().await;
        assert_eq!(result.seq, seq);
        match result.status {
            Some(status) => Err(status.into()),
            None => Ok(result.value.expect("a value")),
        }
    }
}

/// One test for each operation: what a known name answers, then what an unknown one does.
macro_rules! operations {
    ($($test:ident: $name:ident($request:ident { $($field:ident: $known:expr),* })
        -> $value:ident($known_value:expr), unknown { $unknown_field:ident } -> $unknown_value:expr;)*) => {
        $(#[tokio::test]
        async fn $test() {
            for unary in [true, false] {
                for known in [true, false] {
                    let (mut both, client) = Both::start().await;
                    #[allow(unused_variables, reason = "not every operation names a connection")]
                    let id = client.id.clone();
                    #[allow(clippy::needless_update, reason = "two operations have no other field")]
                    let mut request = v1::$request {
                        hub: if unary { "chat".into() } else { String::new() },
                        $($field: $known(&id),)*
                        ..v1::$request::default()
                    };
                    if !known {
                        request.$unknown_field = "unknown".into();
                    }
                    let answer = if unary {
                        both.stage.manage(stringify!($name), request).await.map(Value::$value)
                    } else {
                        both.on_link(Operation::$name(request)).await
                    };
                    let answer = answer.map_err(|status| status.code);
                    let expected = if known { Ok($known_value(&id)) } else { $unknown_value };
                    let expected = expected.map(Value::$value);
                    assert_eq!(answer, expected, "unary: {unary}, known: {known}");
                }
            }
        })*
    };
}

fn chosen(id: &str) -> String {
    id.into()
}
fn g(_: &str) -> String {
    "g".into()
}
fn h(_: &str) -> String {
    "h".into()
}
fn ada(_: &str) -> String {
    "ada".into()
}
fn text(_: &str) -> Option<v1::Payload> {
    Some(text_payload("x"))
}
fn reason(_: &str) -> String {
    "enough".into()
}
fn may_send(_: &str) -> i32 {
    v1::Permission::SendToGroup.into()
}
fn delivered(_: &str) -> v1::Delivered {
    v1::Delivered { connections: 1 }
}
fn changed(_: &str) -> v1::Changed {
    v1::Changed { connections: 1 }
}
fn unchanged(_: &str) -> v1::Changed {
    v1::Changed { connections: 0 }
}
fn yes(_: &str) -> v1::Answer {
    v1::Answer { yes: true }
}
fn ada_alone(id: &str) -> v1::Members {
    let member = v1::Member {
        connection_id: id.into(),
        user_id: Some("ada".into()),
    };
    v1::Members {
        members: vec![member],
        continuation: String::new(),
    }
}

const NOBODY: Result<v1::Delivered, Code> = Ok(v1::Delivered { connections: 0 });
const NO_CHANGE: Result<v1::Changed, Code> = Ok(v1::Changed { connections: 0 });
const NO: Result<v1::Answer, Code> = Ok(v1::Answer { yes: false });

operations! {
    s1_14_send_to_group: SendToGroup(SendToGroupRequest { group: g, payload: text })
        -> Delivered(delivered), unknown { group } -> NOBODY;
    s1_14_send_to_user: SendToUser(SendToUserRequest { user_id: ada, payload: text })
        -> Delivered(delivered), unknown { user_id } -> NOBODY;
    s1_14_send_to_connection: SendToConnection(SendToConnectionRequest { connection_id: chosen, payload: text })
        -> Delivered(delivered), unknown { connection_id } -> Err(Code::NotFound);
    s1_14_s1_22_add_connection_to_group: AddConnectionToGroup(AddConnectionToGroupRequest { connection_id: chosen, group: h })
        -> Changed(changed), unknown { connection_id } -> Err(Code::NotFound);
    s1_14_remove_connection_from_group: RemoveConnectionFromGroup(RemoveConnectionFromGroupRequest { connection_id: chosen, group: g })
        -> Changed(changed), unknown { connection_id } -> Err(Code::NotFound);
    s1_14_remove_connection_from_all_groups: RemoveConnectionFromAllGroups(RemoveConnectionFromAllGroupsRequest { connection_id: chosen })
        -> Changed(changed), unknown { connection_id } -> Err(Code::NotFound);
    s1_14_add_user_to_group: AddUserToGroup(AddUserToGroupRequest { user_id: ada, group: h })
        -> Changed(changed), unknown { user_id } -> Err(Code::NotFound);
    s1_14_remove_user_from_group: RemoveUserFromGroup(RemoveUserFromGroupRequest { user_id: ada, group: g })
        -> Changed(changed), unknown { user_id } -> NO_CHANGE;
    s1_14_remove_user_from_all_groups: RemoveUserFromAllGroups(RemoveUserFromAllGroupsRequest { user_id: ada })
        -> Changed(changed), unknown { user_id } -> NO_CHANGE;
    s1_14_close_connection: CloseConnection(CloseConnectionRequest { connection_id: chosen, reason: reason })
        -> Changed(changed), unknown { connection_id } -> Err(Code::NotFound);
    s1_14_close_user: CloseUser(CloseUserRequest { user_id: ada, reason: reason })
        -> Changed(changed), unknown { user_id } -> NO_CHANGE;
    s1_14_close_group: CloseGroup(CloseGroupRequest { group: g, reason: reason })
        -> Changed(changed), unknown { group } -> NO_CHANGE;
    s1_14_connection_exists: ConnectionExists(ConnectionExistsRequest { connection_id: chosen })
        -> Answer(yes), unknown { connection_id } -> NO;
    s1_14_user_exists: UserExists(UserExistsRequest { user_id: ada })
        -> Answer(yes), unknown { user_id } -> NO;
    s1_14_group_exists: GroupExists(GroupExistsRequest { group: g })
        -> Answer(yes), unknown { group } -> NO;
    s1_14_connection_in_group: ConnectionInGroup(ConnectionInGroupRequest { connection_id: chosen, group: g })
        -> Answer(yes), unknown { connection_id } -> NO;
    s1_14_user_in_group: UserInGroup(UserInGroupRequest { user_id: ada, group: g })
        -> Answer(yes), unknown { group } -> NO;
    s1_14_list_members: ListMembers(ListMembersRequest { group: g })
        -> Members(ada_alone), unknown { group } -> Ok(v1::Members::default());
    s1_14_grant_permission: GrantPermission(GrantPermissionRequest { connection_id: chosen, permission: may_send, group: g })
        -> Changed(unchanged), unknown { connection_id } -> Err(Code::NotFound);
    s1_14_revoke_permission: RevokePermission(RevokePermissionRequest { connection_id: chosen, permission: may_send, group: g })
        -> Changed(changed), unknown { connection_id } -> Err(Code::NotFound);
    s1_14_check_permission: CheckPermission(CheckPermissionRequest { connection_id: chosen, permission: may_send, group: g })
        -> Answer(yes), unknown { connection_id } -> Err(Code::NotFound);
}

#[tokio::test]
async fn s1_14_send_to_all_and_close_all_act_on_their_hub_alone() {
    let (mut both, mut client) = Both::start().await;
    let send = |hub: &str| v1::SendToAllRequest {
        hub: hub.into(),
        ..to_all("x")
    };
    let close = |hub: &str| v1::CloseAllRequest {
        hub: hub.into(),
        ..v1::CloseAllRequest::default()
    };
    let unary: Result<v1::Delivered, _> = both.stage.manage("SendToAll", send("unknown")).await;
    assert_eq!(unary, Ok(v1::Delivered { connections: 0 }));
    let unary: Result<v1::Changed, _> = both.stage.manage("CloseAll", close("unknown")).await;
    assert_eq!(unary, Ok(v1::Changed { connections: 0 }));
    let unary: Result<v1::Changed, _> = both.stage.manage("CloseAll", close("")).await;
    assert_eq!(
        unary.map_err(|status| status.code),
        Err(Code::InvalidArgument)
    );
    for operation in [
        Operation::SendToAll(send("unknown")),
        Operation::CloseAll(close("unknown")),
    ] {
        let answer = both.on_link(operation).await;
        assert_eq!(
            answer.map_err(|status| status.code),
            Err(Code::InvalidArgument),
            "a link has one hub"
        );
    }
    let sent = both.on_link(Operation::SendToAll(send(""))).await;
    assert_eq!(sent, Ok(Value::Delivered(v1::Delivered { connections: 1 })));
    assert_eq!(client.json().await, from_server("x"));
    let closed = both.on_link(Operation::CloseAll(close(""))).await;
    assert_eq!(closed, Ok(Value::Changed(v1::Changed { connections: 1 })));
    assert_eq!(client.close_code().await, 1000);
}

#[tokio::test]
async fn s1_14_closing_says_why_and_ends_the_socket() {
    let (both, mut client) = Both::start().await;
    let request = v1::CloseConnectionRequest {
        hub: "chat".into(),
        connection_id: client.id.clone(),
        reason: "enough".into(),
    };
    let _: v1::Changed = both
        .stage
        .manage("CloseConnection", request)
        .await
        .expect("done");
    let (before, close) = client.rest().await;
    assert_eq!(close, Some((1000, "enough".into())));
    let told = before.last().expect("told").to_text().expect("text");
    assert!(
        told.contains("disconnected") && told.contains("enough"),
        "{told}"
    );
}

#[tokio::test]
async fn management_without_a_good_token_for_the_hub_is_refused() {
    let stage = Stage::start().await;
    for (token, code) in [
        ("nonsense".into(), Code::Unauthenticated),
        (token(&["other"]), Code::PermissionDenied),
    ] {
        let request = prost::Message::encode_to_vec(&to_all("x")).into();
        let client = stage.service.connect_in_process();
        let path = "/headwater.v1.Management/SendToAll";
        let answer = client.unary(path, bearer(&token), request, Default::default());
        let status = soon("an answer", answer).await.expect_err("refused");
        assert_eq!(status.code, code);
    }
}
