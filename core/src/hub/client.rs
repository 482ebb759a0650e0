//! What clients do: connect, ask, go.

use alloc::{borrow::ToOwned, string::String};

use headwater_proto::{
    Code, Status,
    subprotocol::{
        AckError, AckErrorName, Metadata, Operation, Payload, Protocol, Request, Response,
        group_name_is_valid,
    },
    v1,
};

use super::{
    Admission, ConnectionKey, Hub, NewConnection, Output, Permission, SimpleMode,
    answers::Reply,
    connection::{Connection, Phase},
    lane::{Body, Waits},
};
use crate::Time;

/// How a request ended, when it ended badly.
type Failure = (AckErrorName, &'static str);

impl<C: Clone, L: Clone> Hub<C, L> {
    pub(super) fn connect(&mut self, key: ConnectionKey, handle: C, new: NewConnection, now: Time) {
        if self.closing.is_some() {
            let status = Status::new(Code::Unavailable, "the service is shutting down");
            self.outputs
                .push_back(Output::Refuse { to: handle, status });
            return;
        }
        let (connection, handshake) = Connection::new(new, handle);
        self.members.add(key, connection);
        let waits = Some((Waits::Connect, now + self.config.connect_timeout));
        self.raise(key, Body::Connect(handshake.into()), waits);
    }

    /// Lets a connecting client in.
    pub(super) fn admit(&mut self, key: ConnectionKey, accept: v1::Accept) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        let Phase::Connecting(pending) = &mut connection.phase else {
            return;
        };
        let mut groups = core::mem::take(&mut pending.groups);
        let offered = core::mem::take(&mut pending.offered);
        let simple_mode = core::mem::take(&mut pending.simple_mode);
        let subprotocol = match accept.subprotocol {
            Some(chosen) if !offered.contains(&chosen) => {
                let status = Status::new(
                    Code::Internal,
                    "the upstream chose a subprotocol that was not offered",
                );
                return self.refuse(key, status);
            }
            Some(chosen) => Some(chosen),
            None => offered
                .into_iter()
                .find(|name| Protocol::from_name(name).is_some()),
        };
        if let Some(user_id) = accept.user_id.filter(|id| !id.is_empty()) {
            connection.user_id = Some(user_id.into());
        }
        for role in &accept.roles {
            connection.permissions.add_role(role);
        }
        if let Some(state) = accept.state {
            connection.state = state;
        }
        groups.extend(accept.groups);
        if groups.len() > self.config.groups_per_connection_max
            || !groups.iter().all(|name| group_name_is_valid(name))
        {
            return self.refuse(
                key,
                Status::new(
                    Code::InvalidArgument,
                    "the groups of this connection are not valid",
                ),
            );
        }
        connection.protocol = subprotocol
            .as_deref()
            .and_then(Protocol::from_name)
            .unwrap_or(Protocol::Simple);
        connection.subprotocol = subprotocol.clone().unwrap_or_default();
        if let (Protocol::Simple, SimpleMode::SendToGroup(group)) =
            (connection.protocol, &simple_mode)
            && !connection
                .permissions
                .allows(Permission::SendToGroup, Some(group))
        {
            return self.refuse(
                key,
                Status::new(Code::PermissionDenied, "no permission to send to the group"),
            );
        }
        connection.phase = Phase::Admitted { groups };
        let (to, protocol) = (connection.handle.clone(), connection.protocol);
        let admission = Admission {
            subprotocol,
            protocol,
            simple_mode,
        };
        self.outputs.push_back(Output::Admit {
            to,
            admission: admission.into(),
        });
    }

    pub(super) fn refuse(&mut self, key: ConnectionKey, status: Status) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        if !matches!(connection.phase, Phase::Connecting(_)) {
            return;
        }
        connection.phase = Phase::Departed;
        let to = connection.handle.clone();
        self.outputs.push_back(Output::Refuse { to, status });
        self.pump(key);
    }

    /// The WebSocket of an admitted client is open: it hears `connected` first.
    pub(super) fn opened(&mut self, key: ConnectionKey, _now: Time) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        let Phase::Admitted { groups } = &mut connection.phase else {
            return;
        };
        let groups = core::mem::take(groups);
        connection.phase = Phase::Open;
        let (id, user) = (connection.id.clone(), connection.user_id.clone());
        self.publisher.end_all(&mut self.outputs);
        self.tell(
            key,
            &Response::Connected {
                connection_id: &id,
                user_id: user.as_deref(),
            },
        );
        self.members.enter(key);
        for group in groups {
            self.members.join(key, &group);
        }
        self.raise(key, Body::Connected, None);
    }

    /// The client has gone, or is made to go.
    pub(super) fn depart(&mut self, key: ConnectionKey, reason: String) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        if connection.phase == Phase::Departed {
            return;
        }
        let had_connected = connection.is_open();
        connection.phase = Phase::Departed;
        self.publisher.end_all(&mut self.outputs);
        self.members.leave_all(key);
        self.cancel_lane(key);
        if had_connected {
            self.raise(key, Body::Disconnected { reason }, None);
        } else {
            self.pump(key);
        }
    }

    /// Ends a connection from this side. Whether it was there.
    pub(super) fn close(&mut self, key: ConnectionKey, code: u16, reason: &str) -> bool {
        let Some(connection) = self.members.connection(key) else {
            return false;
        };
        let to = connection.handle.clone();
        match connection.phase {
            Phase::Departed => return false,
            Phase::Connecting(_) => {
                self.refuse(key, Status::new(Code::Unavailable, reason));
                self.cancel_lane(key);
                self.pump(key);
                return true;
            }
            Phase::Admitted { .. } => {}
            Phase::Open => self.tell(key, &Response::Disconnected { reason }),
        }
        self.publisher.end_all(&mut self.outputs);
        self.outputs.push_back(Output::Close {
            to,
            code,
            reason: reason.into(),
        });
        self.depart(key, reason.into());
        true
    }

    pub(super) fn request(&mut self, key: ConnectionKey, request: Request, now: Time) {
        let Some(connection) = self
            .members
            .connection(key)
            .filter(|connection| connection.is_open())
        else {
            return;
        };
        let ack_id = request.ack_id;
        if ack_id
            .is_some_and(|id| connection.ack_ids.contains(id) || connection.lane.awaits_ack(id))
        {
            return self.finish(
                key,
                ack_id,
                Err((AckErrorName::Duplicate, "this ackId was used before")),
            );
        }
        let outcome = match request.operation {
            Operation::Event {
                name,
                payload,
                metadata,
            } => {
                return self.event(key, ack_id, (name, payload, metadata), now);
            }
            Operation::Ping => return self.tell(key, &Response::Pong),
            Operation::Nothing => Ok(()),
            Operation::Unsupported { kind: _ } => Err((
                AckErrorName::BadRequest,
                "this service does not offer this kind of request",
            )),
            Operation::Invalid { reason } => Err((AckErrorName::BadRequest, reason)),
            Operation::JoinGroup { group } => self.join_as_client(key, &group),
            Operation::LeaveGroup { group } => self.leave_as_client(key, &group),
            Operation::SendToGroup {
                group,
                payload,
                no_echo,
                metadata,
            } => self.send_as_client(key, &group, &payload, no_echo, &metadata),
        };
        self.finish(key, ack_id, outcome);
    }

    fn join_as_client(&mut self, key: ConnectionKey, group: &str) -> Result<(), Failure> {
        let connection = self.permitted(key, Permission::JoinLeaveGroup, group)?;
        let full = connection.groups.len() >= self.config.groups_per_connection_max;
        if full && !connection.groups.contains(group) {
            return Err((
                AckErrorName::BadRequest,
                "the connection is in too many groups",
            ));
        }
        self.publisher.end_all(&mut self.outputs);
        self.members.join(key, group);
        Ok(())
    }

    fn leave_as_client(&mut self, key: ConnectionKey, group: &str) -> Result<(), Failure> {
        self.permitted(key, Permission::JoinLeaveGroup, group)?;
        self.publisher.end_all(&mut self.outputs);
        self.members.leave(key, group);
        Ok(())
    }

    fn send_as_client(
        &mut self,
        key: ConnectionKey,
        group: &str,
        payload: &Payload,
        no_echo: bool,
        metadata: &Metadata,
    ) -> Result<(), Failure> {
        let user = self
            .permitted(key, Permission::SendToGroup, group)?
            .user_id
            .clone();
        let Some(audience) = self.members.group_key(group) else {
            return Ok(());
        };
        let excluded = if no_echo { &[key][..] } else { &[] };
        let response = Response::GroupMessage {
            group,
            from_user_id: user.as_deref(),
            payload,
            metadata,
        };
        self.publish(audience, excluded, &response);
        Ok(())
    }

    fn permitted(
        &self,
        key: ConnectionKey,
        permission: Permission,
        group: &str,
    ) -> Result<&Connection<C>, Failure> {
        let forbidden = (
            AckErrorName::Forbidden,
            "the permission for this group is missing",
        );
        let connection = self.members.connection(key).ok_or(forbidden)?;
        if !connection.permissions.allows(permission, Some(group)) {
            return Err(forbidden);
        }
        Ok(connection)
    }

    fn event(
        &mut self,
        key: ConnectionKey,
        ack_id: Option<u64>,
        event: (String, Payload, Metadata),
        now: Time,
    ) {
        let (name, payload, metadata) = event;
        let body = Body::Message(
            v1::Message {
                name,
                payload: Some(payload.into()),
                metadata,
            }
            .into(),
        );
        if !self.may_queue(body.bytes()) {
            let status = Status::new(
                Code::ResourceExhausted,
                "too many events wait for the upstream",
            );
            return self.message_done(key, ack_id, Err(status));
        }
        self.raise(
            key,
            body,
            Some((Waits::Message { ack_id }, now + self.config.message_timeout)),
        );
    }

    /// A message of a client has its answer: the reply goes first, then the ack. A failing handler closes a simple client.
    pub(super) fn message_done(
        &mut self,
        key: ConnectionKey,
        ack_id: Option<u64>,
        outcome: Result<Reply, Status>,
    ) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        let is_open = connection.is_open();
        let is_simple = connection.protocol == Protocol::Simple;
        let outcome = match outcome {
            Ok(reply) => {
                if let Some(state) = reply.state {
                    connection.state = state;
                }
                if let Some(payload) = reply.payload.filter(|_| is_open) {
                    self.tell(
                        key,
                        &Response::ServerMessage {
                            payload: &payload,
                            metadata: &Metadata::new(),
                        },
                    );
                }
                Ok(())
            }
            Err(status) => Err(status),
        };
        if !is_open {
            return;
        }
        match outcome {
            Err(_) if is_simple => {
                self.close(key, 1011, "the upstream failed");
            }
            Err(status) => self.finish_with(
                key,
                ack_id,
                Err((AckErrorName::InternalServerError, &status.message)),
            ),
            Ok(()) => self.finish_with(key, ack_id, Ok(())),
        }
    }

    fn finish(&mut self, key: ConnectionKey, ack_id: Option<u64>, outcome: Result<(), Failure>) {
        self.finish_with(key, ack_id, outcome);
    }

    /// Acks a request that asked for it. The id of one that failed may be used again.
    fn finish_with(
        &mut self,
        key: ConnectionKey,
        ack_id: Option<u64>,
        outcome: Result<(), (AckErrorName, &str)>,
    ) {
        let Some(ack_id) = ack_id else { return };
        if outcome.is_ok()
            && let Some(connection) = self.members.connection_mut(key)
        {
            connection.ack_ids.insert(ack_id);
        }
        let outcome = outcome.map_err(|(name, message)| AckError { name, message });
        self.tell(key, &Response::Ack { ack_id, outcome });
    }

    /// Tells one connection something.
    pub(super) fn tell(&mut self, key: ConnectionKey, response: &Response<'_>) {
        let Some(connection) = self.members.connection(key) else {
            return;
        };
        let to = (key, connection.protocol, &connection.handle);
        self.publisher.tell(to, response, &mut self.outputs);
    }

    /// Tells an audience something; to how many.
    pub(super) fn publish(
        &mut self,
        audience: super::publish::AudienceKey,
        excluded: &[ConnectionKey],
        response: &Response<'_>,
    ) -> u64 {
        let Some(members) = self.members.audience(&audience) else {
            return 0;
        };
        let left_out = excluded
            .iter()
            .filter(|key| members.contains(**key))
            .count();
        let count = (members.len() - left_out) as u64;
        if !self.publisher.continues(&audience, excluded) {
            let receivers = self.members.receivers(&audience);
            self.publisher
                .open(audience, excluded.to_owned(), receivers, &mut self.outputs);
        }
        self.publisher.publish(response, &mut self.outputs);
        count
    }
}
