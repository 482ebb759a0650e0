//! What operations name: the hub, a group, a user, a connection.

use headwater_proto::{Code, Status, subprotocol::group_name_is_valid, v1::command::Operation};

/// The names in an operation.
struct Names<'a> {
    hub: &'a str,
    group: Option<&'a str>,
    /// Of a connection or a user.
    id: Option<&'a str>,
}

/// The hub that an operation names; empty on a link.
pub fn hub_of(operation: &Operation) -> &str {
    Names::of(operation).hub
}

/// Checks the names in an operation, which was asked of the hub `here`.
pub(super) fn check(operation: &Operation, here: &str) -> Result<(), Status> {
    let names = Names::of(operation);
    let message = if !(names.hub.is_empty() || names.hub.eq_ignore_ascii_case(here)) {
        "the operation names another hub than that of this link"
    } else if names.group.is_some_and(|name| !group_name_is_valid(name)) {
        "this is not the name of a group"
    } else if names.id == Some("") {
        "the name of the connection or user is empty"
    } else {
        return Ok(());
    };
    Err(Status::new(Code::InvalidArgument, message))
}

impl<'a> Names<'a> {
    const fn hub(hub: &'a str) -> Self {
        Self {
            hub,
            group: None,
            id: None,
        }
    }

    const fn group(mut self, name: &'a str) -> Self {
        self.group = Some(name);
        self
    }

    /// An empty name stands for every group.
    const fn group_or_every(mut self, name: &'a str) -> Self {
        if !name.is_empty() {
            self.group = Some(name);
        }
        self
    }

    const fn id(mut self, id: &'a str) -> Self {
        self.id = Some(id);
        self
    }

    fn of(operation: &'a Operation) -> Self {
        match operation {
            Operation::SendToAll(r) => Self::hub(&r.hub),
            Operation::SendToGroup(r) => Self::hub(&r.hub).group(&r.group),
            Operation::SendToUser(r) => Self::hub(&r.hub).id(&r.user_id),
            Operation::SendToConnection(r) => Self::hub(&r.hub).id(&r.connection_id),
            Operation::AddConnectionToGroup(r) => {
                Self::hub(&r.hub).group(&r.group).id(&r.connection_id)
            }
            Operation::RemoveConnectionFromGroup(r) => {
                Self::hub(&r.hub).group(&r.group).id(&r.connection_id)
            }
            Operation::RemoveConnectionFromAllGroups(r) => Self::hub(&r.hub).id(&r.connection_id),
            Operation::AddUserToGroup(r) => Self::hub(&r.hub).group(&r.group).id(&r.user_id),
            Operation::RemoveUserFromGroup(r) => Self::hub(&r.hub).group(&r.group).id(&r.user_id),
            Operation::RemoveUserFromAllGroups(r) => Self::hub(&r.hub).id(&r.user_id),
            Operation::CloseConnection(r) => Self::hub(&r.hub).id(&r.connection_id),
            Operation::CloseUser(r) => Self::hub(&r.hub).id(&r.user_id),
            Operation::CloseGroup(r) => Self::hub(&r.hub).group(&r.group),
            Operation::CloseAll(r) => Self::hub(&r.hub),
            Operation::ConnectionExists(r) => Self::hub(&r.hub).id(&r.connection_id),
            Operation::UserExists(r) => Self::hub(&r.hub).id(&r.user_id),
            Operation::GroupExists(r) => Self::hub(&r.hub).group(&r.group),
            Operation::ConnectionInGroup(r) => {
                Self::hub(&r.hub).group(&r.group).id(&r.connection_id)
            }
            Operation::UserInGroup(r) => Self::hub(&r.hub).group(&r.group).id(&r.user_id),
            Operation::ListMembers(r) => Self::hub(&r.hub).group(&r.group),
            Operation::GrantPermission(r) => Self::hub(&r.hub)
                .group_or_every(&r.group)
                .id(&r.connection_id),
            Operation::RevokePermission(r) => Self::hub(&r.hub)
                .group_or_every(&r.group)
                .id(&r.connection_id),
            Operation::CheckPermission(r) => Self::hub(&r.hub)
                .group_or_every(&r.group)
                .id(&r.connection_id),
        }
    }
}
