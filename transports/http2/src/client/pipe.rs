//! What a call sends, from its [`Outbound`] into its stream. The connection's own task runs it.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use h2::SendStream;
use headwater_rpc::{Frame, Outbound, Pulled, ResetWatch};

use crate::{batch::Batch, body::reason};

/// Sends what a call has to say, as the peer's windows allow it. Done when nothing more is to be sent.
pub(crate) struct Pipe {
    stream: SendStream<Batch>,
    outbound: Outbound,
    reset: ResetWatch,
    frames: Vec<Frame>,
}

/// Sends what waits already. `None` if that was all, to the half-close: then nobody has to look after the stream, for it
/// is reset when the receiving half is dropped.
pub(crate) fn begin(stream: SendStream<Batch>, outbound: Outbound) -> Option<Pipe> {
    let reset = outbound.reset_watch();
    let mut pipe = Pipe {
        stream,
        outbound,
        reset,
        frames: Vec::new(),
    };
    // The driver's own poll registers a waker that wakes.
    let mut cx = Context::from_waker(Waker::noop());
    // Before any window is known `h2` holds it: no more than two pulls.
    for _ in 0..2 {
        match pipe.outbound.poll_frames(&mut cx, &mut pipe.frames) {
            Poll::Ready(Pulled::Frames) if !has_end(&pipe.frames) => {}
            Poll::Ready(Pulled::Frames) | Poll::Pending => break,
            Poll::Ready(pulled @ (Pulled::Reset(_) | Pulled::Done)) => {
                pipe.end(pulled);
                return None;
            }
        }
    }
    if !pipe.frames.is_empty() && pipe.send().is_ready() {
        return None;
    }
    Some(pipe)
}

fn has_end(frames: &[Frame]) -> bool {
    matches!(frames.last(), Some(Frame::End(_)))
}

impl Pipe {
    /// Sends what was pulled, and is ready when that was the last.
    fn send(&mut self) -> Poll<()> {
        let (batch, end) = Batch::encode(&mut self.frames);
        let sent = self.stream.send_data(batch, end.is_some());
        // A stream that takes no more was reset by the peer, which the receiving half reports.
        if end.is_some() || sent.is_err() {
            return Poll::Ready(());
        }
        Poll::Pending
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
}

impl Future for Pipe {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            match this.poll_room(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(())) => return Poll::Ready(()),
                // A call that ended is reset without waiting for room.
                Poll::Pending if this.reset.poll_reset(cx).is_pending() => return Poll::Pending,
                Poll::Pending => {}
            }
            match this.outbound.poll_frames(cx, &mut this.frames) {
                Poll::Ready(Pulled::Frames) if this.send().is_pending() => {}
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
