//! What an application may ask of its hub.

use std::{fmt, sync::Arc};

use headwater_proto::v1::{self, command::Operation, result::Value};
use tokio::sync::{oneshot, watch};

use crate::{
    Command, CommandError, Members, Payload,
    command::{answer, count, members, raw},
    mailbox::Mailbox,
};

pub use headwater_proto::v1::Permission;

/// The hub of an upstream, from inside handlers and from anywhere else. Cloning shares it.
///
/// Every method gives its command at once and returns a [`Command`], which may be awaited for the result or dropped. All
/// commands of a link, and the answers of its handlers, take effect in the order in which they were given.
///
/// An empty or malformed name ends as `INVALID_ARGUMENT`; a connection that does not exist as `NOT_FOUND`.
///
/// ```no_run
/// # async fn example(hub: headwater_upstream::Hub) -> Result<(), headwater_upstream::CommandError> {
/// hub.send_to_group("lobby", "hello");                       // on its way
/// let told = hub.send_to_user("alice", "hello").await?;      // how many connections it was handed to
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    mailbox: Mailbox,
    registered: watch::Receiver<bool>,
}

impl Hub {
    pub(crate) fn new(name: String, mailbox: Mailbox, registered: watch::Receiver<bool>) -> Self {
        let inner = Inner {
            name,
            mailbox,
            registered,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.inner.mailbox
    }

    /// The name of the hub.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Whether a registration is up, so that commands are taken.
    pub fn is_registered(&self) -> bool {
        *self.inner.registered.borrow()
    }

    /// Waits until a registration is up. `false` if there will be none any more.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn registered(&self) -> bool {
        let mut registered = self.inner.registered.clone();
        registered.wait_for(|registered| *registered).await.is_ok()
    }

    /// Sends to every connection of the hub. Gives how many it was handed to.
    pub fn send_to_all(&self, payload: impl Into<Payload>) -> Command<u64> {
        self.send_to_all_except(payload, Vec::<String>::new())
    }

    /// Sends to every connection of the hub but these. Gives how many it was handed to.
    pub fn send_to_all_except<I>(&self, payload: impl Into<Payload>, excluded: I) -> Command<u64>
    where
        I: IntoIterator<Item: Into<String>>,
    {
        let request = v1::SendToAllRequest {
            payload: Some(payload.into().into()),
            excluded_connections: names(excluded),
            ..v1::SendToAllRequest::default()
        };
        self.command(Operation::SendToAll(request), count)
    }

    /// Sends to every member of a group. Gives how many it was handed to; a group without members is no error.
    pub fn send_to_group(
        &self,
        group: impl Into<String>,
        payload: impl Into<Payload>,
    ) -> Command<u64> {
        self.send_to_group_except(group, payload, Vec::<String>::new())
    }

    /// Sends to every member of a group but these connections. Gives how many it was handed to.
    pub fn send_to_group_except<I>(
        &self,
        group: impl Into<String>,
        payload: impl Into<Payload>,
        excluded: I,
    ) -> Command<u64>
    where
        I: IntoIterator<Item: Into<String>>,
    {
        let request = v1::SendToGroupRequest {
            group: group.into(),
            payload: Some(payload.into().into()),
            excluded_connections: names(excluded),
            ..v1::SendToGroupRequest::default()
        };
        self.command(Operation::SendToGroup(request), count)
    }

    /// Sends to every connection of a user. Gives how many it was handed to; a user without connections is no error.
    pub fn send_to_user(
        &self,
        user: impl Into<String>,
        payload: impl Into<Payload>,
    ) -> Command<u64> {
        let request = v1::SendToUserRequest {
            user_id: user.into(),
            payload: Some(payload.into().into()),
            ..v1::SendToUserRequest::default()
        };
        self.command(Operation::SendToUser(request), count)
    }

    /// Sends to one connection.
    pub fn send_to_connection(
        &self,
        connection: impl Into<String>,
        payload: impl Into<Payload>,
    ) -> Command<u64> {
        let request = v1::SendToConnectionRequest {
            connection_id: connection.into(),
            payload: Some(payload.into().into()),
            ..v1::SendToConnectionRequest::default()
        };
        self.command(Operation::SendToConnection(request), count)
    }

    /// Makes a connection a member of a group. Gives how many connections that changed.
    pub fn add_connection_to_group(
        &self,
        group: impl Into<String>,
        connection: impl Into<String>,
    ) -> Command<u64> {
        let request = v1::AddConnectionToGroupRequest {
            group: group.into(),
            connection_id: connection.into(),
            ..v1::AddConnectionToGroupRequest::default()
        };
        self.command(Operation::AddConnectionToGroup(request), count)
    }

    /// Takes a connection out of a group.
    pub fn remove_connection_from_group(
        &self,
        group: impl Into<String>,
        connection: impl Into<String>,
    ) -> Command<u64> {
        let request = v1::RemoveConnectionFromGroupRequest {
            group: group.into(),
            connection_id: connection.into(),
            ..v1::RemoveConnectionFromGroupRequest::default()
        };
        self.command(Operation::RemoveConnectionFromGroup(request), count)
    }

    /// Takes a connection out of all its groups.
    pub fn remove_connection_from_all_groups(&self, connection: impl Into<String>) -> Command<u64> {
        let request = v1::RemoveConnectionFromAllGroupsRequest {
            connection_id: connection.into(),
            ..v1::RemoveConnectionFromAllGroupsRequest::default()
        };
        self.command(Operation::RemoveConnectionFromAllGroups(request), count)
    }

    /// Makes the connections that a user has now members of a group. `NOT_FOUND` if there are none.
    pub fn add_user_to_group(
        &self,
        group: impl Into<String>,
        user: impl Into<String>,
    ) -> Command<u64> {
        let request = v1::AddUserToGroupRequest {
            group: group.into(),
            user_id: user.into(),
            ..v1::AddUserToGroupRequest::default()
        };
        self.command(Operation::AddUserToGroup(request), count)
    }

    /// Takes the connections of a user out of a group.
    pub fn remove_user_from_group(
        &self,
        group: impl Into<String>,
        user: impl Into<String>,
    ) -> Command<u64> {
        let request = v1::RemoveUserFromGroupRequest {
            group: group.into(),
            user_id: user.into(),
            ..v1::RemoveUserFromGroupRequest::default()
        };
        self.command(Operation::RemoveUserFromGroup(request), count)
    }

    /// Takes the connections of a user out of all their groups.
    pub fn remove_user_from_all_groups(&self, user: impl Into<String>) -> Command<u64> {
        let request = v1::RemoveUserFromAllGroupsRequest {
            user_id: user.into(),
            ..v1::RemoveUserFromAllGroupsRequest::default()
        };
        self.command(Operation::RemoveUserFromAllGroups(request), count)
    }

    /// Closes a connection. Its client is told the reason.
    pub fn close_connection(
        &self,
        connection: impl Into<String>,
        reason: impl Into<String>,
    ) -> Command<u64> {
        let request = v1::CloseConnectionRequest {
            connection_id: connection.into(),
            reason: reason.into(),
            ..v1::CloseConnectionRequest::default()
        };
        self.command(Operation::CloseConnection(request), count)
    }

    /// Closes every connection of a user.
    pub fn close_user(&self, user: impl Into<String>, reason: impl Into<String>) -> Command<u64> {
        let request = v1::CloseUserRequest {
            user_id: user.into(),
            reason: reason.into(),
            ..v1::CloseUserRequest::default()
        };
        self.command(Operation::CloseUser(request), count)
    }

    /// Closes every connection in a group.
    pub fn close_group(&self, group: impl Into<String>, reason: impl Into<String>) -> Command<u64> {
        let request = v1::CloseGroupRequest {
            group: group.into(),
            reason: reason.into(),
            ..v1::CloseGroupRequest::default()
        };
        self.command(Operation::CloseGroup(request), count)
    }

    /// Closes every connection of the hub.
    pub fn close_all(&self, reason: impl Into<String>) -> Command<u64> {
        let request = v1::CloseAllRequest {
            reason: reason.into(),
            ..v1::CloseAllRequest::default()
        };
        self.command(Operation::CloseAll(request), count)
    }

    /// Whether there is such a connection.
    pub fn connection_exists(&self, connection: impl Into<String>) -> Command<bool> {
        let request = v1::ConnectionExistsRequest {
            connection_id: connection.into(),
            ..v1::ConnectionExistsRequest::default()
        };
        self.command(Operation::ConnectionExists(request), answer)
    }

    /// Whether a user has a connection.
    pub fn user_exists(&self, user: impl Into<String>) -> Command<bool> {
        let request = v1::UserExistsRequest {
            user_id: user.into(),
            ..v1::UserExistsRequest::default()
        };
        self.command(Operation::UserExists(request), answer)
    }

    /// Whether a group has a member.
    pub fn group_exists(&self, group: impl Into<String>) -> Command<bool> {
        let request = v1::GroupExistsRequest {
            group: group.into(),
            ..v1::GroupExistsRequest::default()
        };
        self.command(Operation::GroupExists(request), answer)
    }

    /// Whether a connection is a member of a group.
    pub fn connection_in_group(
        &self,
        group: impl Into<String>,
        connection: impl Into<String>,
    ) -> Command<bool> {
        let request = v1::ConnectionInGroupRequest {
            group: group.into(),
            connection_id: connection.into(),
            ..v1::ConnectionInGroupRequest::default()
        };
        self.command(Operation::ConnectionInGroup(request), answer)
    }

    /// Whether any connection of a user is a member of a group.
    pub fn user_in_group(
        &self,
        group: impl Into<String>,
        user: impl Into<String>,
    ) -> Command<bool> {
        let request = v1::UserInGroupRequest {
            group: group.into(),
            user_id: user.into(),
            ..v1::UserInGroupRequest::default()
        };
        self.command(Operation::UserInGroup(request), answer)
    }

    /// A page of the members of a group: at most `limit`, 1 to 200, where 0 means 200. `continuation` comes from the page
    /// before.
    pub fn list_members(
        &self,
        group: impl Into<String>,
        limit: u32,
        continuation: Option<String>,
    ) -> Command<Members> {
        let request = v1::ListMembersRequest {
            group: group.into(),
            limit,
            continuation: continuation.unwrap_or_default(),
            ..v1::ListMembersRequest::default()
        };
        self.command(Operation::ListMembers(request), members)
    }

    /// Gives a connection a permission, for one group or, with `None`, for all.
    pub fn grant_permission(
        &self,
        connection: impl Into<String>,
        permission: Permission,
        group: Option<&str>,
    ) -> Command<u64> {
        let request = v1::GrantPermissionRequest {
            connection_id: connection.into(),
            permission: permission.into(),
            group: group.unwrap_or_default().into(),
            ..v1::GrantPermissionRequest::default()
        };
        self.command(Operation::GrantPermission(request), count)
    }

    /// Takes a permission from a connection, for one group or, with `None`, the one that holds for all.
    pub fn revoke_permission(
        &self,
        connection: impl Into<String>,
        permission: Permission,
        group: Option<&str>,
    ) -> Command<u64> {
        let request = v1::RevokePermissionRequest {
            connection_id: connection.into(),
            permission: permission.into(),
            group: group.unwrap_or_default().into(),
            ..v1::RevokePermissionRequest::default()
        };
        self.command(Operation::RevokePermission(request), count)
    }

    /// Whether a connection has a permission, for one group or, with `None`, for all.
    pub fn check_permission(
        &self,
        connection: impl Into<String>,
        permission: Permission,
        group: Option<&str>,
    ) -> Command<bool> {
        let request = v1::CheckPermissionRequest {
            connection_id: connection.into(),
            permission: permission.into(),
            group: group.unwrap_or_default().into(),
            ..v1::CheckPermissionRequest::default()
        };
        self.command(Operation::CheckPermission(request), answer)
    }

    /// Any command, as the protocol has it, with whatever value it gives. `hub` in the request is left empty.
    pub fn operation(&self, operation: Operation) -> Command<Option<Value>> {
        self.command(operation, raw)
    }

    fn command<T>(&self, operation: Operation, read: fn(Option<Value>) -> Option<T>) -> Command<T> {
        if !self.is_registered() {
            return Command::refused(CommandError::NotRegistered, read);
        }
        let (sender, receiver) = oneshot::channel();
        match self.inner.mailbox.put_command(operation, sender) {
            Ok(()) => Command::waiting(receiver, read),
            Err(error) => Command::refused(error, read),
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}

fn names<I>(names: I) -> Vec<String>
where
    I: IntoIterator<Item: Into<String>>,
{
    names.into_iter().map(Into::into).collect()
}
