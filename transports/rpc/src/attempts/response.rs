//! What the application receives of a call under a policy.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use headwater_core::{
    call::{Closed, Frame, Trailers},
    policy::{Codes, Throttle},
};
use tokio::sync::oneshot;

use crate::transport::{Inbound, Received};

/// How the attempt that counts is answered.
pub(super) struct Answer {
    /// What came of it so far.
    pub(super) received: Received,
    /// The stream is gone after that.
    pub(super) closed: Option<Closed>,
    /// What follows, if it is not gone.
    pub(super) inbound: Option<Box<dyn Inbound>>,
}

impl Answer {
    /// A stream of which nothing has come yet.
    pub(super) fn open(inbound: Box<dyn Inbound>) -> Self {
        Self {
            received: Received::default(),
            closed: None,
            inbound: Some(inbound),
        }
    }

    /// A status alone.
    pub(super) fn ended(trailers: Trailers) -> Self {
        Self {
            received: Received {
                runs: Vec::new(),
                frames: vec![Frame::end(trailers)],
            },
            closed: None,
            inbound: None,
        }
    }

    /// No stream any more.
    pub(super) fn closed(closed: Closed) -> Self {
        Self {
            received: Received::default(),
            closed: Some(closed),
            inbound: None,
        }
    }
}

/// The call's inbound: first the decision which attempt counts, and then that attempt's own.
pub(super) enum Response {
    Waiting(oneshot::Receiver<Answer>),
    Open(Box<dyn Inbound>),
    Ended,
}

impl Inbound for Response {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let answer = match self {
            Self::Open(inbound) => return inbound.poll_received(cx, received),
            Self::Ended => return Poll::Ready(Err(Closed::without_status())),
            Self::Waiting(answer) => ready!(Pin::new(answer).poll(cx)),
        };
        let Ok(answer) = answer else {
            *self = Self::Ended;
            return Poll::Ready(Err(Closed::broken(
                "the attempts of the call were given up",
            )));
        };
        *self = answer.inbound.map_or(Self::Ended, Self::Open);
        let any = !answer.received.is_empty();
        received.append(answer.received);
        match (answer.closed, &mut *self) {
            (Some(closed), _) => Poll::Ready(Err(closed)),
            (None, Self::Open(inbound)) if !any => inbound.poll_received(cx, received),
            (None, _) => Poll::Ready(Ok(())),
        }
    }
}

/// Tells the throttle how a call ended that is received as it comes.
pub(super) struct Counted {
    inbound: Box<dyn Inbound>,
    tally: Tally,
}

/// Where the end of a call is counted, and by which codes.
#[derive(Clone)]
pub(crate) struct Tally {
    throttle: Arc<Mutex<Throttle>>,
    codes: Codes,
    /// Whether anything is counted at all.
    on: bool,
}

impl Tally {
    pub(super) const fn new(throttle: Arc<Mutex<Throttle>>, codes: Codes, on: bool) -> Self {
        Self {
            throttle,
            codes,
            on,
        }
    }

    pub(super) fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the end, if it is here.
    pub(super) fn count(&self, frames: &[Frame], closed: Option<&Closed>) {
        match (frames.last(), closed) {
            (Some(Frame::End(trailers)), _) => self.throttle().record(trailers, self.codes),
            (_, Some(closed)) => {
                let trailers = Trailers::failed(closed.status.clone());
                self.throttle().record(&trailers, self.codes);
            }
            (_, None) => {}
        }
    }

    /// Counts the end when it comes.
    pub(super) fn counting(self, inbound: Box<dyn Inbound>) -> Box<dyn Inbound> {
        if !self.on {
            return inbound;
        }
        let tally = self;
        Box::new(Counted { inbound, tally })
    }
}

impl Inbound for Counted {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let result = ready!(self.inbound.poll_received(cx, received));
        self.tally.count(&received.frames, result.as_ref().err());
        Poll::Ready(result)
    }
}
