//! What to do once a call's mutex is released.

use std::sync::Arc;
use std::task::Waker;

use headwater_core::call::Trailers;
use tokio::task::AbortHandle;

use crate::{interceptor::Stage, registry::Registration, shared::Shared};

/// Gathered under the mutex, and done without it: wakers and hooks may do anything, such as use the call.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) transport: Option<Waker>,
    /// The call has ended just now.
    pub(crate) ended: bool,
    pub(crate) receiver: Option<Waker>,
    pub(crate) registration: Option<Registration>,
    rare: Option<Box<Rare>>,
}

/// What few calls have.
#[derive(Default)]
struct Rare {
    wakers: Vec<Waker>,
    end_stages: Option<(Vec<Arc<Stage>>, Trailers)>,
    timer: Option<AbortHandle>,
}

impl After {
    /// Wakes these senders, or what watches for a reset, and forgets them.
    pub(crate) fn wake(&mut self, wakers: &mut Vec<Waker>) {
        if !wakers.is_empty() {
            self.rare().wakers.append(wakers);
        }
    }

    /// Tells these transforms how the call ended.
    pub(crate) fn end_stages(&mut self, stages: Vec<Arc<Stage>>, trailers: Trailers) {
        self.rare().end_stages = Some((stages, trailers));
    }

    /// Aborts the timer of the deadline.
    pub(crate) fn abort(&mut self, timer: AbortHandle) {
        self.rare().timer = Some(timer);
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Does it all, for this call.
    pub(crate) fn run(self, call: &Shared) {
        if self.ended {
            call.drop_inbound();
        }
        drop(self.registration);
        if let Some(rare) = self.rare {
            rare.run();
        }
        if let Some(waker) = self.receiver {
            waker.wake();
        }
        if self.ended {
            call.over.notify_waiters();
        }
        if let Some(waker) = self.transport {
            waker.wake();
        }
    }
}

impl Rare {
    fn run(self) {
        if let Some(timer) = self.timer {
            timer.abort();
        }
        if let Some((stages, trailers)) = self.end_stages {
            for stage in stages {
                stage.end(trailers.clone());
            }
        }
        for waker in self.wakers {
            waker.wake();
        }
    }
}
