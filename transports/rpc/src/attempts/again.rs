//! A call without a policy, sent again because no handler has seen it (gRFC A6, "Transparent Retries").
//!
//! Until that happens it costs a reference to its only request and a copy of its headers. Then the rest of it is a call
//! under [`ExecutionPolicy::TRANSPARENT`], whose first attempt has ended already.

use std::{
    mem,
    sync::{Arc, Weak},
};

use headwater_core::{
    call::{Closed, Frame, Reached, Trailers},
    policy::{
        ExecutionPolicy,
        attempts::{AttemptEnd, Input, Output},
    },
};
use tokio::runtime::Handle;

use super::{
    budget::Share,
    driver::Driver,
    policies::{Plan, Policies},
    replay::FRAME_BYTES,
};
use crate::{
    shared::Shared,
    transport::{Inbound, Outbound, RequestHeaders},
};

/// Requests up to this size are not counted towards what all calls of a client keep: the call itself takes as much.
const UNCOUNTED_BYTES: usize = 1 << 10;

/// What a call has sent, as long as it may be sent again: at most one message and the half-close.
pub(crate) struct Kept {
    message: Option<Frame>,
    ended: bool,
    again: Again,
    /// What it takes of the client's bound.
    _share: Option<Share>,
}

impl Kept {
    /// Keeps a frame beside those before it. `false` if that cannot be.
    pub(crate) fn keep(&mut self, frame: &Frame) -> bool {
        match frame {
            Frame::Message(_) | Frame::Compressed(_) if self.message.is_none() => {
                self.message = Some(frame.clone());
            }
            Frame::End(_) => self.ended = true,
            Frame::Message(_) | Frame::Compressed(_) | Frame::Headers(_) => return false,
        }
        true
    }
}

/// How a call is sent again.
struct Again {
    policies: Weak<Policies>,
    headers: RequestHeaders,
    buffer_bytes_max: usize,
}

/// Has the call go on with another stream, if it was kept, and came no further than the server's library on this one, whose
/// end is the first that was heard of it. `false` if it ends with it.
pub(crate) fn send_again(call: &Arc<Shared>, closed: &Closed) -> bool {
    if closed.reached == Reached::Handler {
        return false;
    }
    let policies = call.look(|state| state.kept.as_ref()?.again.policies.upgrade());
    // Outside of the runtime nothing could be opened.
    let (Ok(runtime), Some(policies)) = (Handle::try_current(), policies) else {
        return false;
    };
    let Some((again, outbound)) = next_stream(call) else {
        return false;
    };
    call.set_inbound(policies.go_on(again, outbound, closed.clone(), &runtime));
    true
}

/// Has what was sent so far, and what follows, go to another stream. `None` if not all of it was kept, or the call is over.
fn next_stream(call: &Arc<Shared>) -> Option<(Again, Outbound)> {
    let (again, stream, waiting) = call.look(|state| {
        if state.call.is_ended() {
            return None;
        }
        let Kept {
            message,
            ended,
            again,
            ..
        } = state.kept.take()?;
        state.transmit.clear();
        let end = ended.then(|| Frame::end(Trailers::ok()));
        for frame in message.into_iter().chain(end) {
            state.transmit.push(frame);
        }
        state.stream += 1;
        state.discarding = false;
        state.taken = 0;
        let mut waiting = mem::take(&mut state.reset_wakers);
        waiting.extend(state.transport_waker.take());
        Some((again, state.stream, waiting))
    })?;
    // Who looks after the stream before finds that it is not the call's any more.
    for waker in waiting {
        waker.wake();
    }
    Some((again, Outbound::on_stream(Arc::clone(call), stream)))
}

impl Policies {
    /// What a call of this plan keeps, which these headers open and whose only request has so many bytes. `None` if it is
    /// not to be sent again but by a policy.
    pub(crate) fn keep(
        self: &Arc<Self>,
        plan: &Plan,
        headers: &RequestHeaders,
        request_bytes: usize,
    ) -> Option<Kept> {
        let cost = request_bytes.saturating_add(FRAME_BYTES);
        if plan.policy.is_some() || cost > plan.buffer_bytes_max {
            return None;
        }
        let mut share = None;
        if request_bytes > UNCOUNTED_BYTES {
            let mut counted = self.share(plan.buffer_bytes_max);
            if !counted.take(cost) {
                return None;
            }
            share = Some(counted);
        }
        Some(Kept {
            message: None,
            ended: false,
            again: Again {
                policies: Arc::downgrade(self),
                headers: headers.clone(),
                buffer_bytes_max: plan.buffer_bytes_max,
            },
            _share: share,
        })
    }

    /// Goes on with a call whose first stream ended so.
    fn go_on(
        &self,
        again: Again,
        outbound: Outbound,
        closed: Closed,
        runtime: &Handle,
    ) -> Box<dyn Inbound> {
        let policy = ExecutionPolicy::TRANSPARENT;
        let tally = self.tally(&policy);
        let mut attempts = self.attempts(&policy);
        if let Some(Output::Start(first)) = attempts.poll_output() {
            let ended = Input::Ended(first.id, AttemptEnd::Closed(closed));
            attempts.handle(ended, &mut tally.throttle(), self.clock.now());
        }
        let share = self.share(again.buffer_bytes_max);
        let (driver, response) = Driver::new(self, attempts, tally, share, again.headers, outbound);
        runtime.spawn(driver);
        response
    }
}
