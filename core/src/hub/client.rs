//! What open clients do: ask, and go.

use alloc::{borrow::ToOwned, string::String};

use headwater_proto::{
    Code, Status,
    subprotocol::{
        AckError, AckErrorName, Metadata, Operation, Payload, Protocol, Request, Response,
    },
    v1,
};

use super::{
    ConnectionKey, Hub, Output, Permission,
    answers::Reply,
    connection::{Connection, Phase},
    lane::{Body, Waits},
    publish::{AudienceKey, Order},
};

/// How a request ended, when it ended badly.
type Failure = (AckErrorName, &'static str);

impl<C: Clone, L: Clone> Hub<C, L> {
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

    pub(super) fn request(&mut self, key: ConnectionKey, request: Request) {
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
                return self.event(key, ack_id, (name, payload, metadata));
            }
            Operation::Ping => return self.tell_after(key, &Response::Pong),
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
        self.raise(key, body, Some(Waits::Message { ack_id }));
    }

    /// A message of a client has its answer: the reply goes first, then the ack. A failing handler closes a simple client.
    pub(super) fn message_done(
        &mut self,
        key: ConnectionKey,
        ack_id: Option<u64>,
        outcome: Result<Reply, Status>,
    ) {
        let Some(connection) = self
            .members
            .connection_mut(key)
            .filter(|connection| connection.is_open())
        else {
            return;
        };
        let is_simple = connection.protocol == Protocol::Simple;
        let outcome = match &outcome {
            Ok(reply) => {
                if let Some(state) = &reply.state {
                    connection.state = state.clone();
                }
                if let Some(payload) = &reply.payload {
                    let metadata = &Metadata::new();
                    self.tell(key, &Response::ServerMessage { payload, metadata });
                }
                Ok(())
            }
            Err(_) if is_simple => {
                self.close(key, 1011, "the upstream failed");
                return;
            }
            Err(status) => Err((AckErrorName::InternalServerError, status.message.as_str())),
        };
        let Some(ack_id) = ack_id else { return };
        let ack = self.ack_of(key, ack_id, outcome);
        // What the application publishes after its answer comes after it: U-02.
        self.tell(key, &ack);
    }

    /// Acks a request that asked for it.
    fn finish(&mut self, key: ConnectionKey, ack_id: Option<u64>, outcome: Result<(), Failure>) {
        let Some(ack_id) = ack_id else { return };
        let ack = self.ack_of(key, ack_id, outcome);
        self.tell_after(key, &ack);
    }

    /// The ack of a request. The id of one that failed may be used again.
    fn ack_of<'a>(
        &mut self,
        key: ConnectionKey,
        ack_id: u64,
        outcome: Result<(), (AckErrorName, &'a str)>,
    ) -> Response<'a> {
        if outcome.is_ok()
            && let Some(connection) = self.members.connection_mut(key)
        {
            connection.ack_ids.insert(ack_id);
        }
        let outcome = outcome.map_err(|(name, message)| AckError { name, message });
        Response::Ack { ack_id, outcome }
    }

    /// Tells one connection something, in order with all that is published.
    pub(super) fn tell(&mut self, key: ConnectionKey, response: &Response<'_>) {
        self.tell_in(Order::Strict, key, response);
    }

    /// Tells one connection what it waits for, and lets what is published next overtake it.
    fn tell_after(&mut self, key: ConnectionKey, response: &Response<'_>) {
        self.tell_in(Order::After, key, response);
    }

    fn tell_in(&mut self, order: Order, key: ConnectionKey, response: &Response<'_>) {
        let Some(connection) = self.members.connection(key) else {
            return;
        };
        let to = (key, connection.protocol, &connection.handle);
        self.publisher.tell(to, response, order, &mut self.outputs);
    }

    /// Tells an audience something; to how many. `excluded` is ascending, and names nobody twice.
    pub(super) fn publish(
        &mut self,
        audience: AudienceKey,
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
