//! What to do once a call's mutex is released.

use std::{sync::Arc, task::Waker};

use headwater_core::call::Trailers;
use tokio::task::AbortHandle;

use crate::{interceptor::Stage, registry::Registration};

/// Gathered under the mutex, and done without it: wakers and hooks may do anything, such as use the call. Small, for
/// each message has one.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) transport: Option<Waker>,
    pub(crate) rare: Option<Box<Rare>>,
}

/// What is not for every message.
#[derive(Default)]
pub(crate) struct Rare {
    /// The call has ended just now.
    pub(crate) ended: bool,
    pub(crate) receiver: Option<Waker>,
    /// Senders, and what watches for a reset.
    wakers: Vec<Waker>,
    pub(crate) registration: Option<Registration>,
    pub(crate) timer: Option<AbortHandle>,
    /// Transforms that are told how the call ended.
    pub(crate) end_stages: Option<(Vec<Arc<Stage>>, Trailers)>,
}

impl After {
    /// Wakes these senders, or what watches for a reset, and forgets them.
    pub(crate) fn wake(&mut self, wakers: &mut Vec<Waker>) {
        if !wakers.is_empty() {
            self.rare().wakers.append(wakers);
        }
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl Rare {
    /// Does it, but for what the call does with its end.
    pub(crate) fn run(self) {
        if let Some(timer) = self.timer {
            timer.abort();
        }
        drop(self.registration);
        if let Some((stages, trailers)) = self.end_stages {
            for stage in stages {
                stage.end(trailers.clone());
            }
        }
        for waker in self.receiver.into_iter().chain(self.wakers) {
            waker.wake();
        }
    }
}
