//! How a client gets in: it connects, it is admitted or refused, its WebSocket opens.

use alloc::{string::String, vec::Vec};

use headwater_proto::{
    Code, Status,
    subprotocol::{Protocol, Response, group_name_is_valid},
    v1,
};

use super::{
    Admission, ConnectionKey, Hub, NewConnection, Output, Permission, SimpleMode,
    answers::state_fits,
    connection::{Connection, Phase},
    lane::{Body, Waits},
};

/// The longest user id that an upstream may give to a client. Each event of the client carries it.
const USER_ID_BYTES_MAX: usize = 1024;

/// Why a client that its upstream accepts is not let in all the same.
enum Fault {
    /// What its token says is not valid: for the client to hear.
    Client(Status),
    /// What the upstream says is not valid: for the upstream to hear.
    Upstream(&'static str),
}

impl<C: Clone, L: Clone> Hub<C, L> {
    pub(super) fn connect(&mut self, key: ConnectionKey, handle: C, new: NewConnection) {
        if self.closing.is_some() {
            let status = Status::new(Code::Unavailable, "the service is shutting down");
            self.outputs
                .push_back(Output::Refuse { to: handle, status });
            return;
        }
        let (connection, handshake) = Connection::new(new, handle);
        let body = Body::Connect(handshake.into());
        if !self.may_queue(body.bytes()) {
            let to = connection.handle;
            let status = Status::new(Code::Unavailable, "too many events wait for the upstream");
            self.outputs.push_back(Output::Refuse { to, status });
            return;
        }
        self.members.add(key, connection);
        self.raise(key, body, Some(Waits::Connect));
    }

    /// Lets a connecting client in, or refuses it, if its terms are not valid.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer of the upstream, who has to know.
    pub(super) fn admit(&mut self, key: ConnectionKey, accept: v1::Accept) -> Result<(), Status> {
        let groups_max = self.config.groups_per_connection_max;
        let Some(connection) = self.members.connection_mut(key) else {
            return Ok(());
        };
        match connection.agree(accept, groups_max) {
            Ok(None) => Ok(()),
            Ok(Some(admission)) => {
                let to = connection.handle.clone();
                let admission = admission.into();
                self.outputs.push_back(Output::Admit { to, admission });
                Ok(())
            }
            Err(Fault::Client(status)) => {
                self.refuse(key, status);
                Ok(())
            }
            Err(Fault::Upstream(message)) => {
                let status = Status::new(Code::Internal, "the upstream's answer is not valid");
                self.refuse(key, status);
                Err(Status::new(Code::InvalidArgument, message))
            }
        }
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
    pub(super) fn opened(&mut self, key: ConnectionKey) {
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
}

impl<C> Connection<C> {
    /// Brings together what the token and the upstream say of a connecting client. `None` if it is not connecting.
    fn agree(&mut self, accept: v1::Accept, groups_max: usize) -> Result<Option<Admission>, Fault> {
        let Phase::Connecting(pending) = &self.phase else {
            return Ok(None);
        };
        if !state_fits(accept.state.as_ref()) {
            return Err(Fault::Upstream("the state is over 64 KiB"));
        }
        if accept
            .user_id
            .as_ref()
            .is_some_and(|id| id.len() > USER_ID_BYTES_MAX)
        {
            return Err(Fault::Upstream("the user id is over 1024 bytes"));
        }
        let subprotocol = choose(&pending.offered, accept.subprotocol)?;
        let groups = unite(&pending.groups, accept.groups, groups_max)?;
        let simple_mode = pending.simple_mode.clone();
        let protocol = subprotocol
            .as_deref()
            .and_then(Protocol::from_name)
            .unwrap_or(Protocol::Simple);
        for role in &accept.roles {
            self.permissions.add_role(role);
        }
        if let (Protocol::Simple, SimpleMode::SendToGroup(group)) = (protocol, &simple_mode)
            && !self
                .permissions
                .allows(Permission::SendToGroup, Some(group))
        {
            return Err(Fault::Client(Status::new(
                Code::PermissionDenied,
                "no permission to send to the group",
            )));
        }
        if let Some(user_id) = accept.user_id.filter(|id| !id.is_empty()) {
            self.user_id = Some(user_id.into());
        }
        if let Some(state) = accept.state {
            self.state = state;
        }
        self.protocol = protocol;
        self.subprotocol = subprotocol.clone().unwrap_or_default();
        self.phase = Phase::Admitted { groups };
        Ok(Some(Admission {
            subprotocol,
            protocol,
            simple_mode,
        }))
    }
}

/// The subprotocol of a connection: the one that the upstream chose, else the first that the service speaks.
fn choose(offered: &[String], chosen: Option<String>) -> Result<Option<String>, Fault> {
    match chosen {
        Some(chosen) if !offered.contains(&chosen) => {
            Err(Fault::Upstream("the chosen subprotocol was not offered"))
        }
        Some(chosen) => Ok(Some(chosen)),
        None => Ok(offered
            .iter()
            .find(|name| Protocol::from_name(name).is_some())
            .cloned()),
    }
}

/// The groups of the token and of the upstream.
fn unite(of_token: &[String], accepted: Vec<String>, max: usize) -> Result<Vec<String>, Fault> {
    let valid = |names: &[String]| names.iter().all(|name| group_name_is_valid(name));
    if !valid(of_token) || of_token.len() > max {
        return Err(Fault::Client(Status::new(
            Code::InvalidArgument,
            "the groups of the token are not valid",
        )));
    }
    if !valid(&accepted) || of_token.len() + accepted.len() > max {
        return Err(Fault::Upstream("the groups are not valid or too many"));
    }
    Ok([of_token, &accepted].concat())
}
