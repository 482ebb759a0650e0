//! What applications reach over RPC: the link, on one stream or in plain calls, management without one, and push channels.

mod channels;
mod link;
mod management;
mod wps_rpc;

use std::{future::pending, sync::Arc};

use bytes::Bytes;
use headwater_proto::{Code, Status, subprotocol::hub_name};
use headwater_rpc::{CancelReason, Cancellation, Metadata, Router};
use prost::Message;

use crate::{
    auth::{Endpoints, UpstreamToken},
    clock::unix_seconds,
    state::ServiceState,
};

/// The methods for applications.
pub(crate) fn router(service: &Arc<ServiceState>) -> Router {
    let router = Router::new();
    let for_links = Arc::clone(service);
    router.stream("/headwater.v1.Upstream/Link", move |call| {
        link::run(Arc::clone(&for_links), call)
    });
    management::add(&router, service);
    channels::add(&router, service);
    wps_rpc::add(&router, service);
    router
}

/// Who calls, by `authorization: Bearer`.
fn authenticate(service: &ServiceState, metadata: &Metadata) -> Result<UpstreamToken, Status> {
    let token = metadata
        .text("authorization")
        .and_then(|value| value.strip_prefix("Bearer "));
    verify(service, token.unwrap_or_default())
}

fn verify(service: &ServiceState, token: &str) -> Result<UpstreamToken, Status> {
    // The audience is the endpoint of the connection string, which need not be where the application dialled.
    let endpoints = Endpoints {
        public: &service.config.endpoints,
        host: None,
    };
    UpstreamToken::verify(token, &service.config.keys, &endpoints, unix_seconds()).map_err(|rule| {
        // Anybody may call: no more than this for each attempt, as for clients.
        tracing::debug!(%rule, "an application was refused");
        Status::new(Code::Unauthenticated, "the token is missing or not valid")
    })
}

/// Whether the token is good for this hub.
fn authorize(token: &UpstreamToken, hub: &str) -> Result<(), Status> {
    if token.allows(hub) {
        return Ok(());
    }
    Err(Status::new(
        Code::PermissionDenied,
        "the token is for another hub",
    ))
}

/// The hub that a request names, which its token has to be good for.
fn named_hub(token: &UpstreamToken, name: &str) -> Result<String, Status> {
    let no_hub = || Status::new(Code::InvalidArgument, "the request names no valid hub");
    let hub = hub_name(name).ok_or_else(no_hub)?;
    authorize(token, &hub)?;
    Ok(hub)
}

/// Waits until the server of a call stops gracefully. If the call ends before, never done: whoever reads it hears of that.
///
/// # Cancel safety
///
/// Nothing is lost.
async fn stopping(cancellation: &Cancellation) {
    if cancellation.cancelled().await != CancelReason::Stopping {
        pending().await
    }
}

/// What those are told who cannot stay while the server stops.
fn server_stops() -> Status {
    Status::new(Code::Unavailable, "the server is stopping")
}

fn decode<M: Message + Default>(request: Bytes) -> Result<M, Status> {
    let undecodable = |_| Status::new(Code::InvalidArgument, "the request could not be decoded");
    M::decode(request).map_err(undecodable)
}
