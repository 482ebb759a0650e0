//! `MessageSync`: the calls of push channels (`headwater/push_channel.proto`).

mod consume;
mod history;

use std::{future::ready, sync::Arc, time::Duration};

use bytes::Bytes;
use headwater_core::queue::Name;
use headwater_proto::{
    Code, Status,
    push_channel::{LogInReply, LogInRequest, SubmitReply, SubmitRequest},
};
use headwater_rpc::{Metadata, Request, Router, Shape};
use prost::Message;

use super::{authenticate, decode};
use crate::{auth::UpstreamToken, channels::Pushed, state::ServiceState};

/// Adds every method.
pub(super) fn add(router: &Router, service: &Arc<ServiceState>) {
    unary(router, service, "/MessageSync/SubmitMessage", submit);
    unary(router, service, "/MessageSync/LogIn", log_in);
    unary(router, service, "/MessageSync/GetHistory", history::answer);
    let push = consume::Push(Arc::clone(service));
    let path = "/MessageSync/PushMessageStream";
    router.insert(path, Shape::ServerStreaming, Arc::new(push));
    let for_consumers = Arc::clone(service);
    router.stream("/MessageSync/Consume", move |call| {
        consume::run(Arc::clone(&for_consumers), call)
    });
}

fn unary<M: Message + Default + 'static, R: Message + 'static>(
    router: &Router,
    service: &Arc<ServiceState>,
    path: &'static str,
    answer: fn(&ServiceState, &Caller, M) -> Result<R, Status>,
) {
    let service = Arc::clone(service);
    router.unary(path, move |request: Request| {
        let answer = || {
            let caller = Caller::of(&service, &request.metadata)?;
            let reply = answer(&service, &caller, decode(request.message.clone())?)?;
            Ok(Bytes::from(reply.encode_to_vec()))
        };
        // Ready at once: a channel answers within the turn.
        ready(answer())
    });
}

fn submit(
    service: &ServiceState,
    caller: &Caller,
    request: SubmitRequest,
) -> Result<SubmitReply, Status> {
    let channel = caller.channel(&request.channel)?;
    let expires_after = match request.expires_after_ms {
        0 => None,
        after => Some(Duration::from_millis(after)),
    };
    let message = Pushed::new(request);
    let offset = service.channels.submit(&channel, message, expires_after)?;
    let reply = String::from("received");
    Ok(SubmitReply { reply, offset })
}

/// Kept for the chat: whoever may call is let in, and gets nothing by it.
fn log_in(_: &ServiceState, _: &Caller, _: LogInRequest) -> Result<LogInReply, Status> {
    let reply = String::from("logged in");
    Ok(LogInReply { reply })
}

/// Who calls.
struct Caller(Option<UpstreamToken>);

impl Caller {
    /// Refuses who has no token, unless the service takes such calls. A token that is there has to be valid.
    fn of(service: &ServiceState, metadata: &Metadata) -> Result<Self, Status> {
        if service.channels.allow_anonymous() && metadata.values("authorization").next().is_none() {
            return Ok(Self(None));
        }
        authenticate(service, metadata).map(|token| Self(Some(token)))
    }

    /// The channel of this name, if the caller may use it.
    fn channel(&self, name: &str) -> Result<Name, Status> {
        let name = Name::new(name)?;
        let allows = |token: &UpstreamToken| token.allows_channel(name.as_str());
        if self.0.as_ref().is_none_or(allows) {
            return Ok(name);
        }
        let message = "the token is for another channel";
        Err(Status::new(Code::PermissionDenied, message))
    }
}
