//! What a call sends, from its [`Outbound`] into its stream. The connection's own task runs it.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::Buf as _;
use h2::{Reason, SendStream};
use headwater_rpc::{Encoded, Outbound, Payload, Pulled, ResetWatch};

use crate::reset::reason;

/// Sends what a call has to say, as the peer's windows allow it. Done when the stream needs nobody to look after it.
pub(crate) struct Pipe {
    stream: SendStream<Payload>,
    outbound: Outbound,
    reset: ResetWatch,
    encoded: Encoded,
    /// All was given to `h2`, which waits for the peer's window with some of it.
    held: bool,
}

/// What is left to do for a stream, once what waited was sent.
pub(crate) enum Rest {
    /// There is more to send.
    Pipe(Pipe),
    /// All was given to `h2`, which waits with some of it for the peer's window.
    Held(SendStream<Payload>),
    /// The stream needs nobody to look after it: it is reset when the receiving half is dropped.
    Nothing,
}

/// Sends what waits already.
pub(crate) fn begin(stream: SendStream<Payload>, outbound: Outbound) -> Rest {
    let reset = outbound.reset_watch();
    let mut pipe = Pipe {
        stream,
        outbound,
        reset,
        encoded: Encoded::default(),
        held: false,
    };
    // The driver's own poll registers a waker that wakes.
    let mut cx = Context::from_waker(Waker::noop());
    // Before any window is known `h2` holds it: no more than two pulls.
    for _ in 0..2 {
        match pipe.outbound.poll_encoded(&mut cx, &mut pipe.encoded) {
            Poll::Ready(Pulled::Frames) if pipe.encoded.end.is_none() => {}
            Poll::Ready(Pulled::Frames) | Poll::Pending => break,
            Poll::Ready(pulled @ (Pulled::Reset(_) | Pulled::Done)) => {
                pipe.end(pulled);
                return Rest::Nothing;
            }
        }
    }
    let nothing = pipe.encoded.payload.is_empty() && pipe.encoded.end.is_none();
    if !nothing && pipe.send().is_ready() {
        return Rest::Nothing;
    }
    if pipe.held {
        return Rest::Held(pipe.stream);
    }
    Rest::Pipe(pipe)
}

impl Pipe {
    /// Gives `h2` what was pulled. Ready when nobody has to look after the stream any more.
    fn send(&mut self) -> Poll<()> {
        let Encoded { payload, end, .. } = mem::take(&mut self.encoded);
        let last = end.is_some();
        self.held = last && !self.has_room(payload.remaining());
        // A stream that takes no more was reset by the peer, which the receiving half reports.
        let sent = self.stream.send_data(payload, last);
        if sent.is_err() || (last && !self.held) {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Whether this much can be sent without the peer giving more room.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.stream.reserve_capacity(bytes);
        self.stream.capacity() >= bytes
    }

    /// Has `h2` wake nobody: asking for room would wake this task, which runs already. Ready if the stream was reset.
    fn forget_waker(&mut self) -> Poll<()> {
        let mut nobody = Context::from_waker(Waker::noop());
        self.stream.poll_reset(&mut nobody).map(|_| ())
    }

    fn end(&mut self, pulled: Pulled) {
        if let Pulled::Reset(code) = pulled {
            self.stream.send_reset(reason(code));
        }
    }

    /// Waits until the peer's windows have room. Fails if the stream is gone.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        // One byte is enough: of a batch that is larger `h2` keeps the rest, and has no room until it is gone.
        self.stream.reserve_capacity(1);
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Resets a call that is over, whatever it still had to send: the peer makes no room for it.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.reset.poll_reset(cx));
        let reason = match self.outbound.poll_encoded(cx, &mut self.encoded) {
            Poll::Ready(Pulled::Reset(code)) => reason(code),
            Poll::Ready(Pulled::Frames | Pulled::Done) | Poll::Pending => Reason::CANCEL,
        };
        self.stream.send_reset(reason);
        Poll::Ready(())
    }
}

impl Future for Pipe {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            if this.held {
                return this.poll_over(cx);
            }
            match this.poll_room(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(())) => return Poll::Ready(()),
                Poll::Pending => return this.poll_over(cx),
            }
            match this.outbound.poll_encoded(cx, &mut this.encoded) {
                Poll::Ready(Pulled::Frames) if this.send().is_pending() => {
                    if this.forget_waker().is_ready() {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(Pulled::Frames) => return Poll::Ready(()),
                Poll::Ready(pulled @ (Pulled::Reset(_) | Pulled::Done)) => {
                    this.end(pulled);
                    return Poll::Ready(());
                }
                // While there is nothing to send, only this tells that the peer wants no more.
                Poll::Pending => return this.stream.poll_reset(cx).map(|_| ()),
            }
        }
    }
}
