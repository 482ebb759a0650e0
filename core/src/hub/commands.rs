//! What applications command: every management operation, on a link and without one.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use headwater_proto::{
    Code, Status,
    subprotocol::{Metadata, Payload, Response},
    v1::{self, command::Operation, result::Value},
};

use super::{
    ConnectionKey, Hub, LinkKey, Permission, connection::Connection, names, publish::AudienceKey,
};
use crate::Time;

/// The close code of a connection that the application closes: normal.
const CLOSE_NORMAL: u16 = 1000;

impl<C: Clone, L: Clone> Hub<C, L> {
    /// Does what an application asks for; for a producer without a link. Drain [`Hub::poll_output`] afterwards. What has
    /// fallen due by `now` fails first, as with [`Hub::handle`].
    ///
    /// # Errors
    ///
    /// [`Code::InvalidArgument`] for a name that is empty or malformed, for another hub's name, and for a payload that is
    /// missing or not what its type says; [`Code::NotFound`] for a connection, or a user to add, that is not there;
    /// [`Code::ResourceExhausted`] for one more group than a connection may have.
    pub fn command(&mut self, operation: Operation, now: Time) -> Result<Value, Status> {
        self.advance(now);
        self.operate(operation)
    }

    fn operate(&mut self, operation: Operation) -> Result<Value, Status> {
        names::check(&operation, &self.config.name)?;
        match operation {
            Operation::SendToAll(r) => self.send(
                Some(AudienceKey::Everyone),
                r.payload,
                &r.excluded_connections,
                None,
            ),
            Operation::SendToGroup(r) => self.send_to_group(r),
            Operation::SendToUser(r) => {
                self.send(self.members.user_key(&r.user_id), r.payload, &[], None)
            }
            Operation::SendToConnection(r) => self.send_to_connection(&r.connection_id, r.payload),
            Operation::AddConnectionToGroup(r) => self.add_connection(&r.connection_id, &r.group),
            Operation::RemoveConnectionFromGroup(r) => {
                self.remove_connection(&r.connection_id, &r.group)
            }
            Operation::RemoveConnectionFromAllGroups(r) => {
                let key = self.open_connection(&r.connection_id)?;
                Ok(changed(self.leave_all_groups([key])))
            }
            Operation::AddUserToGroup(r) => self.add_user(&r.user_id, &r.group),
            Operation::RemoveUserFromGroup(r) => {
                let keys = self.user_connections(&r.user_id);
                self.publisher.end_all(&mut self.outputs);
                Ok(changed(
                    keys.into_iter()
                        .filter(|key| self.members.leave(*key, &r.group))
                        .count(),
                ))
            }
            Operation::RemoveUserFromAllGroups(r) => {
                let keys = self.user_connections(&r.user_id);
                Ok(changed(self.leave_all_groups(keys)))
            }
            Operation::CloseConnection(r) => {
                let key = self.open_connection(&r.connection_id)?;
                Ok(self.close_all([key].into(), &r.reason, &[]))
            }
            Operation::CloseUser(r) => Ok(self.close_all(
                self.user_connections(&r.user_id),
                &r.reason,
                &r.excluded_connections,
            )),
            Operation::CloseGroup(r) => {
                let keys = self
                    .members
                    .group(&r.group)
                    .map(|group| group.members().collect())
                    .unwrap_or_default();
                Ok(self.close_all(keys, &r.reason, &r.excluded_connections))
            }
            Operation::CloseAll(r) => {
                let keys = self.members.everyone().members().collect();
                Ok(self.close_all(keys, &r.reason, &r.excluded_connections))
            }
            Operation::ConnectionExists(r) => {
                Ok(answer(self.members.open_key_of(&r.connection_id).is_some()))
            }
            Operation::UserExists(r) => Ok(answer(self.members.user(&r.user_id).is_some())),
            Operation::GroupExists(r) => Ok(answer(self.members.group(&r.group).is_some())),
            Operation::ConnectionInGroup(r) => {
                let key = self.members.open_key_of(&r.connection_id);
                Ok(answer(
                    key.is_some_and(|key| self.is_in_group(key, &r.group)),
                ))
            }
            Operation::UserInGroup(r) => {
                let keys = self.user_connections(&r.user_id);
                Ok(answer(
                    keys.into_iter().any(|key| self.is_in_group(key, &r.group)),
                ))
            }
            Operation::ListMembers(r) => self.list_members(&r),
            Operation::GrantPermission(r) => {
                let permission = permission(r.permission())?;
                let connection = self.open_connection_mut(&r.connection_id)?;
                Ok(changed(
                    connection
                        .permissions
                        .grant(permission, group_or_every(&r.group))
                        .into(),
                ))
            }
            Operation::RevokePermission(r) => {
                let permission = permission(r.permission())?;
                let connection = self.open_connection_mut(&r.connection_id)?;
                Ok(changed(
                    connection
                        .permissions
                        .revoke(permission, group_or_every(&r.group))
                        .into(),
                ))
            }
            Operation::CheckPermission(r) => {
                let permission = permission(r.permission())?;
                let connection = self.open_connection_mut(&r.connection_id)?;
                Ok(answer(
                    connection
                        .permissions
                        .allows(permission, group_or_every(&r.group)),
                ))
            }
        }
    }

    /// A command on a link: its result goes back there.
    pub(super) fn link_command(&mut self, link: LinkKey, command: v1::Command) {
        if self.upstreams.of_link(link).is_none() {
            return;
        }
        let outcome = match command.operation {
            Some(operation) => self.operate(operation),
            None => Err(Status::new(
                Code::Unimplemented,
                "the service does not know this operation",
            )),
        };
        let (status, value) = match outcome {
            Ok(value) => (None, Some(value)),
            Err(status) => (Some(status.into()), None),
        };
        let result = v1::Result {
            seq: command.seq,
            status,
            value,
        };
        self.send_to_link(link, v1::service_frame::Frame::Result(result));
    }

    fn send_to_group(&mut self, request: v1::SendToGroupRequest) -> Result<Value, Status> {
        let mut excluded = request.excluded_connections;
        if request.no_echo && !request.origin_connection.is_empty() {
            excluded.push(request.origin_connection);
        }
        let audience = self.members.group_key(&request.group);
        self.send(audience, request.payload, &excluded, Some(&request.group))
    }

    fn send(
        &mut self,
        audience: Option<AudienceKey>,
        payload: Option<v1::Payload>,
        excluded: &[String],
        group: Option<&str>,
    ) -> Result<Value, Status> {
        let payload = checked(payload)?;
        let Some(audience) = audience else {
            return Ok(delivered(0));
        };
        let excluded = self.keys_of(excluded);
        let (payload, metadata) = (&payload, &Metadata::new());
        let response = match group {
            Some(group) => Response::GroupMessage {
                group,
                from_user_id: None,
                payload,
                metadata,
            },
            None => Response::ServerMessage { payload, metadata },
        };
        Ok(delivered(self.publish(audience, &excluded, &response)))
    }

    fn send_to_connection(
        &mut self,
        id: &str,
        payload: Option<v1::Payload>,
    ) -> Result<Value, Status> {
        let payload = checked(payload)?;
        let key = self.open_connection(id)?;
        self.tell(
            key,
            &Response::ServerMessage {
                payload: &payload,
                metadata: &Metadata::new(),
            },
        );
        Ok(delivered(1))
    }

    fn add_connection(&mut self, id: &str, group: &str) -> Result<Value, Status> {
        let key = self.open_connection(id)?;
        self.add(&[key], group)
    }

    fn add_user(&mut self, user_id: &str, group: &str) -> Result<Value, Status> {
        let keys = self.user_connections(user_id);
        if keys.is_empty() {
            return Err(Status::new(Code::NotFound, "the user has no connection"));
        }
        self.add(&keys, group)
    }

    fn add(&mut self, keys: &[ConnectionKey], group: &str) -> Result<Value, Status> {
        let max = self.config.groups_per_connection_max;
        let full = |connection: &Connection<C>| {
            connection.groups.len() >= max && !connection.groups.contains(group)
        };
        if keys
            .iter()
            .filter_map(|key| self.members.connection(*key))
            .any(full)
        {
            return Err(Status::new(
                Code::ResourceExhausted,
                "the connection is in too many groups",
            ));
        }
        self.publisher.end_all(&mut self.outputs);
        Ok(changed(
            keys.iter()
                .filter(|key| self.members.join(**key, group))
                .count(),
        ))
    }

    fn remove_connection(&mut self, id: &str, group: &str) -> Result<Value, Status> {
        let key = self.open_connection(id)?;
        self.publisher.end_all(&mut self.outputs);
        Ok(changed(self.members.leave(key, group).into()))
    }

    /// How many of them were in a group.
    fn leave_all_groups(&mut self, keys: impl IntoIterator<Item = ConnectionKey>) -> usize {
        self.publisher.end_all(&mut self.outputs);
        keys.into_iter()
            .filter(|key| self.members.leave_all_groups(*key) > 0)
            .count()
    }

    fn close_all(&mut self, keys: Vec<ConnectionKey>, reason: &str, excluded: &[String]) -> Value {
        let excluded = self.keys_of(excluded);
        let closing = keys
            .into_iter()
            .filter(|key| excluded.binary_search(key).is_err());
        changed(
            closing
                .filter(|key| self.close(*key, CLOSE_NORMAL, reason))
                .count(),
        )
    }

    /// Those of these connections that are known: ascending, nobody twice.
    fn keys_of(&self, ids: &[String]) -> Vec<ConnectionKey> {
        let keys: BTreeSet<_> = ids
            .iter()
            .filter_map(|id| self.members.key_of(id))
            .collect();
        keys.into_iter().collect()
    }

    fn open_connection(&self, id: &str) -> Result<ConnectionKey, Status> {
        self.members
            .open_key_of(id)
            .ok_or_else(|| Status::new(Code::NotFound, "there is no such connection"))
    }

    fn open_connection_mut(&mut self, id: &str) -> Result<&mut Connection<C>, Status> {
        let key = self.open_connection(id)?;
        let missing = || Status::new(Code::NotFound, "there is no such connection");
        self.members.connection_mut(key).ok_or_else(missing)
    }
}

/// What is sent; leaving it out is a slip, and an empty payload is one that says so.
fn checked(payload: Option<v1::Payload>) -> Result<Payload, Status> {
    let missing = || Status::new(Code::InvalidArgument, "the payload is missing");
    Payload::try_from(payload.ok_or_else(missing)?)
}

/// An empty name stands for every group.
fn group_or_every(name: &str) -> Option<&str> {
    (!name.is_empty()).then_some(name)
}

fn permission(wire: v1::Permission) -> Result<Permission, Status> {
    match wire {
        v1::Permission::JoinLeaveGroup => Ok(Permission::JoinLeaveGroup),
        v1::Permission::SendToGroup => Ok(Permission::SendToGroup),
        v1::Permission::Unspecified => {
            Err(Status::new(Code::InvalidArgument, "no permission is named"))
        }
    }
}

const fn delivered(connections: u64) -> Value {
    Value::Delivered(v1::Delivered { connections })
}

const fn changed(connections: usize) -> Value {
    Value::Changed(v1::Changed {
        connections: connections as u64,
    })
}

const fn answer(yes: bool) -> Value {
    Value::Answer(v1::Answer { yes })
}
