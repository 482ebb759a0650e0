//! `WpsRpc`: the link in plain calls, as clients of the gRPC scheme for Web PubSub call it.

mod register;

use std::{future::ready, sync::Arc};

use bytes::Bytes;
use headwater_core::{
    hub::hub_of,
    link::calls::{
        ACK_CONNECT, ACK_MESSAGE, REGISTER,
        service::{Kind, Target},
        translate::{Method, connect_answer, message_answer},
    },
};
use headwater_proto::{
    Code, Status,
    v1::ack::Answer,
    wps_rpc::{AckConnectRequest, AckMessageRequest},
};
use headwater_rpc::{Request, Router, Shape};

use super::{authenticate, decode, named_hub};
use crate::{auth::UpstreamToken, state::ServiceState};

/// Adds every method.
pub(super) fn add(router: &Router, service: &Arc<ServiceState>) {
    add_register(router, service);
    add_unary(router, service, ACK_CONNECT, ack_connect);
    add_unary(router, service, ACK_MESSAGE, ack_message);
    for &method in Method::ALL {
        add_unary(router, service, method.path(), move |service, request| {
            command(service, request, method)
        });
    }
}

fn add_register(router: &Router, service: &Arc<ServiceState>) {
    let service = Arc::clone(service);
    router.stream_of(REGISTER, Shape::ServerStreaming, move |call| {
        register::run(Arc::clone(&service), call)
    });
}

fn add_unary(
    router: &Router,
    service: &Arc<ServiceState>,
    path: &'static str,
    answer: impl Fn(&ServiceState, &Request) -> Result<Bytes, Status> + Send + Sync + 'static,
) {
    let service = Arc::clone(service);
    // Ready at once: a hub answers within the turn.
    router.unary(path, move |request| ready(answer(&service, &request)));
}

fn ack_connect(service: &ServiceState, request: &Request) -> Result<Bytes, Status> {
    let token = authenticate(service, &request.metadata)?;
    let ack: AckConnectRequest = decode(request.message.clone())?;
    let target = Target {
        connection_id: &ack.connection_id,
        event_id: ack.event_id,
        kind: Kind::Connect,
    };
    let answer = connect_answer(ack.ack_connect_message);
    answer_event(service, &token, &ack.hub, target, answer)
}

fn ack_message(service: &ServiceState, request: &Request) -> Result<Bytes, Status> {
    let token = authenticate(service, &request.metadata)?;
    let ack: AckMessageRequest = decode(request.message.clone())?;
    let target = Target {
        connection_id: &ack.connection_id,
        event_id: ack.event_id,
        kind: Kind::Message,
    };
    let answer = message_answer(ack.ack_event_message);
    answer_event(service, &token, &ack.hub, target, answer)
}

fn answer_event(
    service: &ServiceState,
    token: &UpstreamToken,
    hub: &str,
    target: Target<'_>,
    answer: Answer,
) -> Result<Bytes, Status> {
    let hub = resolve(token, hub)?;
    service.ack(&hub, target, answer)?;
    Ok(Bytes::new())
}

fn command(service: &ServiceState, request: &Request, method: Method) -> Result<Bytes, Status> {
    let token = authenticate(service, &request.metadata)?;
    let operation = method.decode(request.message.clone())?;
    let hub = resolve(&token, hub_of(&operation))?;
    let value = service.command(&hub, operation)?;
    method.encode_response(value)
}

/// Which hub a call is for: the one that it names, or the only one that its token is bound to.
fn resolve(token: &UpstreamToken, named: &str) -> Result<String, Status> {
    if !named.is_empty() {
        return named_hub(token, named);
    }
    let mut bound = token.hubs().into_iter().flatten();
    match (bound.next(), bound.next()) {
        (Some(only), None) => Ok(only.clone()),
        (None | Some(_), _) => Err(Status::new(
            Code::InvalidArgument,
            "the request names no hub, and the token is not bound to one",
        )),
    }
}
