//! `MessageSync`: the calls of push channels (`headwater/push_channel.proto`).

mod consume;
mod history;
mod produce;

use std::{future::ready, sync::Arc};

use bytes::Bytes;
use headwater_core::queue::Name;
use headwater_proto::{
    Code, Status,
    push_channel::{LogInReply, LogInRequest, SubmitReply, SubmitRequest},
};
use headwater_rpc::{Metadata, Request, Router, Shape};
use prost::Message;

use super::{authenticate, decode};
use crate::{auth::UpstreamToken, channels::Submission, state::ServiceState};

/// Adds every method.
pub(super) fn add(router: &Router, service: &Arc<ServiceState>) {
    unary(router, service, "/MessageSync/SubmitMessage", submit);
    unary(router, service, "/MessageSync/LogIn", log_in);
    unary(router, service, "/MessageSync/GetHistory", history::answer);
    let for_producers = Arc::clone(service);
    router.stream("/MessageSync/Produce", move |call| {
        produce::run(Arc::clone(&for_producers), call)
    });
    let for_pushed = Arc::clone(service);
    let path = "/MessageSync/PushMessageStream";
    router.stream_of(path, Shape::ServerStreaming, move |call| {
        consume::push(Arc::clone(&for_pushed), call)
    });
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
    let message = vec![Submission::new(request)];
    let missing = || Err(Status::new(Code::Internal, "the message is gone"));
    let mut offsets = service.channels.submit(&channel, message)?;
    let offset = offsets.pop().unwrap_or_else(missing)?;
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

    /// Refuses whose token has expired since the call began.
    fn check_time(&self, now_unix_seconds: u64) -> Result<(), Status> {
        let has_expired = |token: &UpstreamToken| token.has_expired(now_unix_seconds);
        if self.0.as_ref().is_some_and(has_expired) {
            let message = "the token has expired";
            return Err(Status::new(Code::Unauthenticated, message));
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::{AccessKey, AccessKeys, CLOCK_SKEW_SECONDS, Endpoints, channel_token};

    /// S3-20: a call that lasts does not outlive its token.
    #[test]
    fn s3_20_a_caller_is_refused_once_its_token_has_expired() {
        const NOW: u64 = 1_000_000;
        let key = AccessKey::new("a-key-for-tests-of-32-bytes-or-so").expect("long enough");
        let (endpoint, lifetime) = ("http://service.test", Duration::from_secs(100));
        let token = channel_token(endpoint, &key, &["c"], lifetime, NOW).expect("a token");
        let endpoints = Endpoints {
            public: &[endpoint.into()],
            host: None,
        };
        let token = UpstreamToken::verify(&token, &AccessKeys::new(key, None), &endpoints, NOW);
        let caller = Caller(Some(token.expect("valid")));
        let last = NOW + 100 + CLOCK_SKEW_SECONDS - 1;
        assert_eq!(caller.check_time(last), Ok(()));
        let late = caller.check_time(last + 1).expect_err("expired");
        assert_eq!(late.code, Code::Unauthenticated);
        assert_eq!(Caller(None).check_time(u64::MAX), Ok(()), "has no token");
    }
}
