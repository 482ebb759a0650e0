//! What comes back on a call.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use headwater_rpc::{
    Closed, Frame, Inbound, Payload, Received,
    http::{Messages, response},
};
use http::Response;

use super::shared::Permit;
use crate::inbound::{StreamSource, closed_by_h2};

/// The responses of a call, from before their headers.
///
/// Dropping it drops the last but the sending half's hold on the stream, and with both gone `h2` resets what has not
/// ended.
pub(crate) struct ResponseInbound {
    state: State,
    message_bytes_max: usize,
    /// A request that `h2` may still hold for want of a window. A reset that is implied would wait behind it.
    held: Option<SendStream<Payload>>,
    permit: Permit,
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly every response is open for most of its time"
)]
enum State {
    Waiting(ResponseFuture),
    Open(Messages<StreamSource>),
    Ended,
}

impl ResponseInbound {
    pub(crate) const fn new(
        response: ResponseFuture,
        message_bytes_max: usize,
        permit: Permit,
        held: Option<SendStream<Payload>>,
    ) -> Self {
        Self {
            state: State::Waiting(response),
            message_bytes_max,
            held,
            permit,
        }
    }

    fn responded(&mut self, response: Response<RecvStream>) -> Result<Frame, Closed> {
        let (head, body) = response.into_parts();
        self.permit.answered(&head.headers);
        let first = response::to_frame(head.status, &head.headers)?;
        if matches!(first, Frame::Headers(_)) {
            let source = StreamSource(body);
            self.state = State::Open(Messages::responses(source, self.message_bytes_max));
        }
        Ok(first)
    }
}

impl Drop for ResponseInbound {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.held {
            // Does nothing to a stream that has ended both ways.
            stream.send_reset(Reason::CANCEL);
        }
    }
}

impl Inbound for ResponseInbound {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let before = received.len();
        if let State::Waiting(response) = &mut self.state {
            let response = ready!(Pin::new(response).poll(cx));
            self.state = State::Ended;
            let response = response.map_err(|error| closed_by_h2(&error))?;
            received.frames.push(self.responded(response)?);
        }
        match &mut self.state {
            State::Open(messages) => messages.poll_more(cx, received, before),
            State::Ended if received.len() > before => Poll::Ready(Ok(())),
            State::Ended | State::Waiting(_) => Poll::Ready(Err(Closed::without_status())),
        }
    }
}
