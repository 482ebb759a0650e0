//! `headwater.v1.Management`: the operations of a link, one unary call each.

use std::sync::Arc;

use bytes::Bytes;
use headwater_core::hub::hub_of;
use headwater_proto::{
    Status,
    v1::{self, command::Operation, result::Value},
};
use headwater_rpc::{Request, Router};
use prost::Message;

use super::{authenticate, decode, named_hub};
use crate::state::ServiceState;

/// One method for each operation that [`Operation`] has, named after it.
macro_rules! methods {
    ($router:ident, $service:ident, $($name:ident($request:ident)),* $(,)?) => {
        $(add_method::<v1::$request>(
            $router,
            $service,
            concat!("/headwater.v1.Management/", stringify!($name)),
            Operation::$name,
        );)*
    };
}

/// Adds every method.
pub(super) fn add(router: &Router, service: &Arc<ServiceState>) {
    methods!(
        router,
        service,
        SendToAll(SendToAllRequest),
        SendToGroup(SendToGroupRequest),
        SendToUser(SendToUserRequest),
        SendToConnection(SendToConnectionRequest),
        AddConnectionToGroup(AddConnectionToGroupRequest),
        RemoveConnectionFromGroup(RemoveConnectionFromGroupRequest),
        RemoveConnectionFromAllGroups(RemoveConnectionFromAllGroupsRequest),
        AddUserToGroup(AddUserToGroupRequest),
        RemoveUserFromGroup(RemoveUserFromGroupRequest),
        RemoveUserFromAllGroups(RemoveUserFromAllGroupsRequest),
        CloseConnection(CloseConnectionRequest),
        CloseUser(CloseUserRequest),
        CloseGroup(CloseGroupRequest),
        CloseAll(CloseAllRequest),
        ConnectionExists(ConnectionExistsRequest),
        UserExists(UserExistsRequest),
        GroupExists(GroupExistsRequest),
        ConnectionInGroup(ConnectionInGroupRequest),
        UserInGroup(UserInGroupRequest),
        ListMembers(ListMembersRequest),
        GrantPermission(GrantPermissionRequest),
        RevokePermission(RevokePermissionRequest),
        CheckPermission(CheckPermissionRequest),
    );
}

fn add_method<M: Message + Default + 'static>(
    router: &Router,
    service: &Arc<ServiceState>,
    path: &'static str,
    operation: fn(M) -> Operation,
) {
    let service = Arc::clone(service);
    router.unary(path, move |request| {
        // Ready at once: a hub answers within the turn.
        std::future::ready(answer(&service, &request, operation))
    });
}

fn answer<M: Message + Default + 'static>(
    service: &ServiceState,
    request: &Request,
    operation: fn(M) -> Operation,
) -> Result<Bytes, Status> {
    let token = authenticate(service, &request.metadata)?;
    let operation = operation(decode(request.message.clone())?);
    let hub = named_hub(&token, hub_of(&operation))?;
    let value = service.command(&hub, operation)?;
    Ok(encode(&value))
}

fn encode(value: &Value) -> Bytes {
    match value {
        Value::Delivered(value) => value.encode_to_vec(),
        Value::Changed(value) => value.encode_to_vec(),
        Value::Answer(value) => value.encode_to_vec(),
        Value::Members(value) => value.encode_to_vec(),
    }
    .into()
}
