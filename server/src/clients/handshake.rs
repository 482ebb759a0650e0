//! A client knocks: its token, the application's `connect`, and the upgrade.

use std::sync::Arc;

use headwater_core::hub::{Admission, Input, NewConnection};
use headwater_proto::{
    Code, Status,
    subprotocol::hub_name,
    v1::{self, Values},
    websocket::DecoderConfig,
};
use headwater_websocket::{Handshake, Peer};
use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::{Body, connection, plain, query::Query};
use crate::{
    auth::{ClientToken, Endpoints},
    clock::unix_seconds,
    hub::{Client, HubDriver, Presence},
    random::unguessable_id,
    state::ServiceState,
};

/// Why a client is not let in.
struct Refusal {
    status: StatusCode,
    text: String,
}

pub(super) async fn answer(
    service: Arc<ServiceState>,
    mut request: Request<Incoming>,
    peer: Peer,
) -> Response<Body> {
    let handshake = match Handshake::check(&request) {
        Ok(handshake) => handshake,
        Err(rejection) => return rejection.response(),
    };
    let (hub, new) = match read(&service, &request, &handshake, peer) {
        Ok(read) => read,
        Err(refusal) => return plain(refusal.status, &refusal.text),
    };
    let hub = match service.hub(&hub) {
        Ok(hub) => hub,
        Err(status) => return plain(http_status(status.code), &status.message),
    };
    let visit = Visit::begin(hub, new);
    let (admission, visit) = match visit.admitted().await {
        Ok(admitted) => admitted,
        Err(status) => return plain(http_status(status.code), &status.message),
    };
    let subprotocol = admission.subprotocol.clone();
    let decoder = DecoderConfig {
        message_bytes_max: service.config.message_bytes_max,
    };
    let session = service.config.session;
    let upgrade = handshake.upgrade(
        &mut request,
        subprotocol.as_deref(),
        decoder,
        move |socket| async move {
            if let Ok(socket) = socket
                && let Some((hub, client)) = visit.stay()
            {
                connection::run(hub, client, socket, admission, session).await;
            }
        },
    );
    // The hub admits with what was offered only.
    upgrade.unwrap_or_else(|_| {
        plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the subprotocol was not offered",
        )
    })
}

/// What the request says, once its token is verified: the hub, and the client for it.
fn read(
    service: &ServiceState,
    request: &Request<Incoming>,
    handshake: &Handshake,
    peer: Peer,
) -> Result<(String, NewConnection), Refusal> {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let hub = hub_of(request.uri().path(), &query)
        .ok_or_else(|| bad_request("this is not the name of a hub"))?;
    let simple_mode = query.simple_mode().map_err(bad_request)?;
    let token = token(&query, request.headers()).ok_or_else(unauthorized)?;
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let endpoints = Endpoints {
        public: &service.config.endpoints,
        host,
    };
    let token = ClientToken::verify(
        token,
        &service.config.keys,
        &hub,
        &endpoints,
        unix_seconds(),
    )
    .map_err(|rule| {
        tracing::debug!(peer = %peer.address, hub, %rule, "a client was refused");
        unauthorized()
    })?;
    let values = |values| Values { values };
    let new = NewConnection {
        id: unguessable_id(),
        user_id: token.user_id,
        roles: token.roles,
        groups: token.groups,
        simple_mode,
        handshake: v1::Connect {
            claims: token
                .claims
                .into_iter()
                .map(|(name, claim)| (name, values(claim)))
                .collect(),
            query: query.shown(),
            headers: shown_headers(request.headers()),
            subprotocols: handshake.subprotocols().map(Into::into).collect(),
            client_certificates: Vec::new(),
        },
    };
    Ok((hub, new))
}

/// `/client/hubs/{hub}`, or `/client?hub=`.
fn hub_of(path: &str, query: &Query) -> Option<String> {
    let Some(segment) = path.strip_prefix("/client/hubs/") else {
        return hub_name(query.first("hub")?);
    };
    let decoded = percent_encoding::percent_decode_str(segment)
        .decode_utf8()
        .ok()?;
    hub_name(&decoded)
}

/// In the query, where browsers must put it; else in the header.
fn token<'a>(query: &'a Query, headers: &'a HeaderMap) -> Option<&'a str> {
    query.first("access_token").or_else(|| {
        headers
            .get(header::AUTHORIZATION)?
            .to_str()
            .ok()?
            .strip_prefix("Bearer ")
    })
}

/// Everything but the credential.
fn shown_headers(headers: &HeaderMap) -> std::collections::BTreeMap<String, Values> {
    let mut shown = std::collections::BTreeMap::<String, Values>::new();
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| *name != header::AUTHORIZATION)
    {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        shown
            .entry(name.as_str().into())
            .or_default()
            .values
            .push(value);
    }
    shown
}

/// A client between its knock and its WebSocket. Dropped before it stays, the hub hears that it has gone.
struct Visit {
    client: Arc<Client>,
    answered: Option<tokio::sync::oneshot::Receiver<Result<Admission, Status>>>,
    /// Until it stays.
    hub: Option<Presence>,
}

impl Visit {
    fn begin(hub: Arc<HubDriver>, new: NewConnection) -> Self {
        let (client, answered) = Client::new(hub.new_connection_key());
        let client = Arc::new(client);
        let hub = Presence::new(hub);
        hub.turn([Input::Connect {
            key: client.key(),
            handle: Arc::clone(&client),
            new: Box::new(new),
        }]);
        Self {
            client,
            answered: Some(answered),
            hub: Some(hub),
        }
    }

    async fn admitted(mut self) -> Result<(Admission, Self), Status> {
        let lost = || Status::new(Code::Unavailable, "the service is shutting down");
        let answered = self.answered.take().ok_or_else(lost)?;
        let admission = answered.await.map_err(|_| lost())??;
        Ok((admission, self))
    }

    fn stay(mut self) -> Option<(Presence, Arc<Client>)> {
        let hub = self.hub.take()?;
        Some((hub, Arc::clone(&self.client)))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(hub) = &self.hub {
            hub.last_turn(Input::Gone {
                key: self.client.key(),
                reason: "the client left during its handshake".into(),
            });
        }
    }
}

/// See `Reject` in `upstream.proto`. An upstream that gave no answer is a gateway's timeout.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn bad_request(text: &str) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        text: text.into(),
    }
}

/// Says nothing of the rule that was broken: that is for the log.
fn unauthorized() -> Refusal {
    Refusal {
        status: StatusCode::UNAUTHORIZED,
        text: "the access token is missing or not valid".into(),
    }
}
