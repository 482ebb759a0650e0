//! Carries one call's requests from its application to its stream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use headwater_rpc::{Frame, Outbound, Pulled, ResetWatch};

use super::cell::SendCell;
use crate::{
    codes,
    stream::{Stopped, Writer},
};

/// Pulls from the application what the server's windows let through. Runs in the connection's task, and is ready when
/// nothing more is to be sent.
pub(crate) struct Pipe {
    writer: Option<Writer>,
    outbound: Outbound,
    frames: Vec<Frame>,
    reset: ResetWatch,
    cell: Arc<SendCell>,
    /// The last frame is with the writer.
    last: bool,
}

/// Begins with the headers and what is there already, so that a call whose request is complete needs no task. `None` if
/// that was all.
pub(super) fn begin(
    stream: quinn::SendStream,
    headers: Bytes,
    outbound: Outbound,
    cell: Arc<SendCell>,
) -> Option<Pipe> {
    let mut writer = Writer::new(stream);
    writer.push(headers);
    let reset = outbound.reset_watch();
    let mut pipe = Pipe {
        writer: Some(writer),
        outbound,
        frames: Vec::new(),
        reset,
        cell,
        last: false,
    };
    // The pipe's first poll registers a waker that wakes.
    let mut cx = Context::from_waker(Waker::noop());
    // The message and the end may come one after the other.
    for _ in 0..2 {
        match pipe.outbound.poll_frames(&mut cx, &mut pipe.frames) {
            Poll::Ready(Pulled::Frames) => {
                if pipe.push() {
                    break;
                }
            }
            Poll::Ready(pulled @ (Pulled::Reset(_) | Pulled::Done)) => {
                pipe.end(pulled);
                return None;
            }
            Poll::Pending => break,
        }
    }
    match pipe.poll_flush(&mut cx) {
        Poll::Ready(Flow::Over) => None,
        Poll::Ready(Flow::On) | Poll::Pending => Some(pipe),
    }
}

/// Whether there is more to do.
enum Flow {
    On,
    Over,
}

impl Pipe {
    /// Hands what was pulled to the writer. Whether that was the last of it.
    fn push(&mut self) -> bool {
        if let Some(writer) = &mut self.writer {
            self.last = writer.push_frames(&mut self.frames).is_some();
        }
        self.last
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Flow> {
        let Some(writer) = &mut self.writer else {
            return Poll::Ready(Flow::Over);
        };
        match ready!(writer.poll_flush(cx)) {
            Ok(()) if self.last => {
                writer.finish();
                if let Some(writer) = self.writer.take() {
                    self.cell.put(writer);
                }
                Poll::Ready(Flow::Over)
            }
            Ok(()) => Poll::Ready(Flow::On),
            Err(stopped) => {
                self.stop(&stopped);
                Poll::Ready(Flow::Over)
            }
        }
    }

    /// The server wants no more. Whether that is how the call ends, the receiving half says.
    fn stop(&mut self, stopped: &Stopped) {
        if let (Stopped::ByPeer(code), Some(writer)) = (stopped, &mut self.writer) {
            // With the server's own code (RFC 9000, 3.5).
            writer.reset(*code);
        }
    }

    fn end(&mut self, pulled: Pulled) {
        let code = match pulled {
            Pulled::Reset(code) => codes::reset_code(code),
            Pulled::Frames | Pulled::Done => codes::REQUEST_CANCELLED,
        };
        if let Some(writer) = &mut self.writer {
            writer.reset(code);
        }
    }

    /// Resets a call that is over, whatever it still had to send: the server makes no room for it.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.reset.poll_reset(cx));
        let pulled = match self.outbound.poll_frames(cx, &mut self.frames) {
            Poll::Ready(pulled) => pulled,
            Poll::Pending => Pulled::Done,
        };
        self.end(pulled);
        Poll::Ready(())
    }
}

impl Future for Pipe {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            match this.poll_flush(cx) {
                Poll::Ready(Flow::On) => {}
                Poll::Ready(Flow::Over) => return Poll::Ready(()),
                Poll::Pending => return this.poll_over(cx),
            }
            match this.outbound.poll_frames(cx, &mut this.frames) {
                Poll::Ready(Pulled::Frames) => {
                    this.push();
                }
                Poll::Ready(pulled @ (Pulled::Reset(_) | Pulled::Done)) => {
                    this.end(pulled);
                    return Poll::Ready(());
                }
                // While there is nothing to send, only this tells that the server wants no more.
                Poll::Pending => {
                    let Some(writer) = &mut this.writer else {
                        return Poll::Ready(());
                    };
                    if let Err(stopped) = ready!(writer.poll_ended(cx)) {
                        this.stop(&stopped);
                    }
                    return Poll::Ready(());
                }
            }
        }
    }
}
