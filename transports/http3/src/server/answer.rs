//! What a server sends on a call: each pull takes all that waits, and makes one write of it.

use std::{
    future::poll_fn,
    mem,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use headwater_rpc::{
    Closed, Code, Encoded, Outbound, Pulled, ResetWatch, Status, Trailers, http::response,
};
use quinn::VarInt;
use tokio::time::Instant;

use crate::{
    codes,
    sections::{ServerSections, Unsent},
    stream::{Stopped, Writer},
};

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// All of it is with QUIC.
    Whole,
    /// It is to be broken off.
    Reset(VarInt),
}

/// Carries a call's responses to its stream.
pub(super) struct Answer<'a> {
    outbound: Outbound,
    reset: ResetWatch,
    /// What was pulled and not written.
    pulled: Encoded,
    writer: Writer,
    sections: &'a ServerSections,
    /// The headers went out.
    begun: bool,
    /// When the time is over that the client gave the call.
    deadline: Option<Instant>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(
        outbound: Outbound,
        writer: Writer,
        sections: &'a ServerSections,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            reset: outbound.reset_watch(),
            outbound,
            pulled: Encoded::default(),
            writer,
            sections,
            begun: false,
            deadline,
        }
    }

    /// Ends the call, unless it has said all.
    pub(super) fn into_writer(self) -> Writer {
        self.writer
    }

    /// Runs to the end of the answer. When the client wants no more, or is gone, the call hears of it.
    pub(super) async fn run(&mut self) -> Answered {
        loop {
            match poll_fn(|cx| self.poll_pull(cx)).await {
                Ok(Pulled::Frames) => {}
                Ok(Pulled::Reset(code)) => return Answered::Reset(codes::reset_code(code)),
                // The last frame ends this loop.
                Ok(Pulled::Done) => return Answered::Reset(codes::INTERNAL_ERROR),
                Err(stopped) => return self.stopped(stopped),
            }
            if self.is_late() {
                return Answered::Reset(codes::REQUEST_CANCELLED);
            }
            let Ok(last) = self.write() else {
                return Answered::Reset(codes::INTERNAL_ERROR);
            };
            match poll_fn(|cx| self.poll_flush(cx)).await {
                Ok(Ok(())) => {}
                Ok(Err(stopped)) => return self.stopped(stopped),
                Err(code) => return Answered::Reset(code),
            }
            if last {
                self.writer.finish();
                return Answered::Whole;
            }
        }
    }

    /// The client wants no more, which it need not be asked about, or it is gone.
    fn stopped(&mut self, stopped: Stopped) -> Answered {
        if matches!(stopped, Stopped::Lost) {
            self.outbound
                .close(Closed::broken("the connection was lost"));
        }
        Answered::Reset(codes::REQUEST_CANCELLED)
    }

    /// Whether the call ends because the client's time for it is over. The client knows that by itself, so it is told
    /// nothing, and no more is sent (gRFC G2, "Errors"). A bound of the server's own it cannot know: there is a status.
    fn is_late(&self) -> bool {
        let Some(trailers) = &self.pulled.end else {
            return false;
        };
        let outcome = &trailers.outcome;
        let deadline = matches!(outcome, Err(status) if status.code == Code::DeadlineExceeded);
        deadline && self.deadline.is_some_and(|at| at <= Instant::now())
    }

    fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pulled, Stopped>> {
        if let Poll::Ready(pulled) = self.outbound.poll_encoded(cx, &mut self.pulled) {
            return Poll::Ready(Ok(pulled));
        }
        // Before the end, the client can only have stopped it.
        let stopped = |ended: Result<(), Stopped>| Err(ended.err().unwrap_or(Stopped::Lost));
        self.writer.poll_ended(cx).map(stopped)
    }

    /// While the client makes no room, a call can be reset: then the code is given.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<Result<(), Stopped>, VarInt>> {
        let before = self.writer.written();
        if let Poll::Ready(flushed) = self.writer.poll_flush(cx) {
            self.reset.progressed();
            return Poll::Ready(Ok(flushed));
        }
        if self.writer.written() > before {
            self.reset.progressed();
        }
        let reset = self.reset.poll_reset(cx);
        reset.map(|()| Err(self.reset_code()))
    }

    fn reset_code(&mut self) -> VarInt {
        // It is known, so nobody waits.
        let mut cx = Context::from_waker(Waker::noop());
        match self.outbound.poll_encoded(&mut cx, &mut self.pulled) {
            Poll::Ready(Pulled::Reset(code)) => codes::reset_code(code),
            Poll::Ready(Pulled::Frames | Pulled::Done) | Poll::Pending => codes::REQUEST_CANCELLED,
        }
    }

    /// Hands all that was pulled to the writer. Whether it is the last.
    fn write(&mut self) -> Result<bool, Unsent> {
        let sections = self.sections;
        let Encoded {
            headers,
            payload,
            end,
        } = mem::take(&mut self.pulled);
        match (&headers, &end) {
            (Some(metadata), _) => self.writer.push(sections.encode_headers(metadata)?),
            // The machine sends headers before any message.
            (None, Some(trailers)) if !self.begun => {
                let encode = |trailers: &Trailers| {
                    sections.encode_response(response::trailers_only(trailers))
                };
                self.writer.push(fitting(trailers, encode)?);
                return Ok(true);
            }
            (None, _) => {}
        }
        self.begun = true;
        self.writer.push_payload(payload);
        let Some(trailers) = end else {
            return Ok(false);
        };
        let encode = |trailers: &Trailers| sections.encode_trailers(trailers);
        let frame = fitting(&trailers, encode)?;
        self.writer.push(frame);
        Ok(true)
    }
}

/// A client that takes no trailers so large is told that.
fn fitting(
    trailers: &Trailers,
    encode: impl Fn(&Trailers) -> Result<Bytes, Unsent>,
) -> Result<Bytes, Unsent> {
    match encode(trailers) {
        Err(Unsent::TooLarge) => {
            let message = "the client takes no trailing metadata so large";
            let status = Status::new(Code::ResourceExhausted, message);
            encode(&Trailers::failed(status))
        }
        encoded => encoded,
    }
}
