//! What a call answers, from its [`Outbound`] into its stream. The connection's own task runs it.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::Buf as _;
use h2::{Reason, SendStream, server::SendResponse};
use headwater_rpc::{
    Closed, Encoded, Outbound, Payload, Pulled, ResetWatch,
    http::{headers, response},
};
use http::Response;

use super::connection::{Connection, OpenStream, SEND_BUFFER_BYTES};
use crate::reset::reason;

/// Sends what a call answers, as the client's windows allow it. Done when the stream needs nobody to look after it;
/// dropped before, the client of the call is gone.
pub(super) struct Responder {
    half: Half,
    answer: Answer,
    /// While this is there, the stream counts as open.
    open: OpenStream,
}

/// The sending half of the stream.
enum Half {
    Unanswered(SendResponse<Payload>),
    Answered(SendStream<Payload>),
}

impl Half {
    /// Whether the client has reset the stream.
    fn is_reset(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        let reset = match self {
            Self::Unanswered(respond) => respond.poll_reset(&mut nobody),
            Self::Answered(stream) => stream.poll_reset(&mut nobody),
        };
        matches!(reset, Poll::Ready(Ok(_)))
    }
}

struct Answer {
    outbound: Outbound,
    reset: ResetWatch,
    /// What was pulled, and waits for the client's windows.
    encoded: Encoded,
}

impl Responder {
    pub(super) fn new(
        respond: SendResponse<Payload>,
        outbound: Outbound,
        open: OpenStream,
    ) -> Self {
        Self {
            half: Half::Unanswered(respond),
            answer: Answer {
                reset: outbound.reset_watch(),
                outbound,
                encoded: Encoded::default(),
            },
            open,
        }
    }
}

impl Future for Responder {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { half, answer, open } = &mut *self;
        loop {
            match half {
                Half::Unanswered(respond) => {
                    match ready!(answer.poll_head(respond, open.connection(), cx)) {
                        Some(stream) => *half = Half::Answered(stream),
                        None => return Poll::Ready(()),
                    }
                }
                Half::Answered(stream) => return answer.poll_rest(stream, cx),
            }
        }
    }
}

impl Drop for Responder {
    /// A call that has not said all by now was cancelled, unless it went with its connection. A client that resets its
    /// streams and then closes is one that cancels, though all of that may have come in one read.
    fn drop(&mut self) {
        if self.open.is_lost() && !self.half.is_reset() {
            self.answer
                .outbound
                .close(Closed::broken("the connection was lost"));
        }
    }
}

impl Answer {
    /// Sends what the answer begins with. `None` if nothing follows.
    fn poll_head(
        &mut self,
        respond: &mut SendResponse<Payload>,
        connection: &Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Option<SendStream<Payload>>> {
        let Poll::Ready(pulled) = self.outbound.poll_encoded(cx, &mut self.encoded) else {
            // While there is nothing to send, only this tells that the client wants no more.
            return respond.poll_reset(cx).map(|_| None);
        };
        Poll::Ready(match response::begin(pulled, &mut self.encoded) {
            Ok(head) => send_head(respond, head, connection, false),
            Err(whole) => send_head(respond, whole, connection, true),
        })
    }

    /// Sends the messages and how the call ended.
    fn poll_rest(&mut self, stream: &mut SendStream<Payload>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // What has no room stays here, where it can be given up.
            while !self.encoded.payload.is_empty() {
                let wanted = self.encoded.payload.remaining();
                let Poll::Ready(room) = poll_room(stream, wanted, cx) else {
                    return self.poll_over(stream, cx);
                };
                let Ok(room) = room else {
                    return Poll::Ready(());
                };
                let payload = self.encoded.payload.split_to(room);
                if stream.send_data(payload, false).is_err() {
                    return Poll::Ready(());
                }
                self.reset.progressed();
            }
            if let Some(trailers) = self.encoded.end.take() {
                // A stream that takes no more was reset by the client.
                let _ = stream.send_trailers(headers::from_trailers(&trailers));
                return Poll::Ready(());
            }
            match self.outbound.poll_encoded(cx, &mut self.encoded) {
                Poll::Ready(Pulled::Frames) => {}
                Poll::Ready(Pulled::Reset(code)) => {
                    stream.send_reset(reason(code));
                    return Poll::Ready(());
                }
                Poll::Ready(Pulled::Done) => return Poll::Ready(()),
                Poll::Pending => return stream.poll_reset(cx).map(|_| ()),
            }
        }
    }

    /// Resets a call that this side has given up, whatever it still had to send: the client makes no room for it.
    fn poll_over(&mut self, stream: &mut SendStream<Payload>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.reset.poll_reset(cx));
        let reason = match self.outbound.poll_encoded(cx, &mut self.encoded) {
            Poll::Ready(Pulled::Reset(code)) => reason(code),
            Poll::Ready(Pulled::Frames | Pulled::Done) | Poll::Pending => Reason::CANCEL,
        };
        stream.send_reset(reason);
        Poll::Ready(())
    }
}

/// Waits until the client's windows have room for some of what is wanted, which is at least a byte, and says for how much.
/// Fails if the stream is gone.
pub(super) fn poll_room(
    stream: &mut SendStream<Payload>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, ()>> {
    // Room that is there at once would wake this task, which runs already.
    let mut nobody = Context::from_waker(Waker::noop());
    if stream.poll_reset(&mut nobody).is_ready() {
        return Poll::Ready(Err(()));
    }
    // It never has room for more, and would keep what it reserves from other streams.
    stream.reserve_capacity(wanted.min(SEND_BUFFER_BYTES));
    while stream.capacity() == 0 {
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(Err(())),
        }
    }
    Poll::Ready(Ok(stream.capacity()))
}

/// Sends the head of an answer. `None` if it cannot be sent, or nothing may follow.
pub(super) fn send_head(
    respond: &mut SendResponse<Payload>,
    mut head: Response<()>,
    connection: &Connection,
    last: bool,
) -> Option<SendStream<Payload>> {
    connection.announce(head.headers_mut());
    match respond.send_response(head, last) {
        Ok(stream) => (!last).then_some(stream),
        Err(_) => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            None
        }
    }
}
