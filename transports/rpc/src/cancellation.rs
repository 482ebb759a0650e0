//! How a handler learns that it works for nobody.

use std::{fmt, future::Future, pin::pin, sync::Arc};

use headwater_core::call::EndedBy;
use tokio::time::Instant;

use crate::shared::{Shared, Side, State};

/// Why a handler works for nobody any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelReason {
    /// The deadline passed.
    Deadline,
    /// The client cancelled, broke the protocol, or its connection broke.
    Peer,
    /// The server is stopping. If it stops gracefully, the handler may still finish.
    Stopping,
    /// The call was ended on this side: its service was removed, a [`crate::interceptor::Transform`] failed, or somebody
    /// called [`crate::Sender::cancel`].
    Withdrawn,
}

/// Tells a handler that its call was cancelled, without reading or sending. The handler itself runs on. Clones tell of
/// the same call.
#[derive(Clone)]
pub struct Cancellation {
    call: Arc<Shared>,
}

impl Cancellation {
    pub(crate) const fn new(call: Arc<Shared>) -> Self {
        Self { call }
    }

    /// Why the call was cancelled, if it was. A graceful stop that was told ([`CancelReason::Stopping`]) gives way to what
    /// ends the call before its handler does.
    pub fn reason(&self) -> Option<CancelReason> {
        debug_assert!(self.call.side == Side::Server, "handlers are on the server");
        self.call.look(|state| reason(state))
    }

    /// When the call's time is over. `None` if it is without bound.
    pub fn deadline(&self) -> Option<Instant> {
        self.call.deadline()
    }

    /// Waits until the call is cancelled; for ever, if the handler ends it regularly first.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn cancelled(&self) -> CancelReason {
        self.call.when_over(reason).await
    }

    /// Runs `operation` to its end. If the call is cancelled before that, or was before, `on_cancel` is called with the
    /// reason, once, and may have the operation come to its end sooner; the operation itself is not dropped.
    ///
    /// # Cancel safety
    ///
    /// That of the operation, which is dropped with this.
    pub async fn guard<T>(
        &self,
        operation: impl Future<Output = T>,
        on_cancel: impl FnOnce(CancelReason),
    ) -> T {
        let mut operation = pin!(operation);
        tokio::select! {
            biased;
            reason = self.cancelled() => on_cancel(reason),
            output = &mut operation => return output,
        }
        operation.await
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellation").finish_non_exhaustive()
    }
}

fn reason(state: &State) -> Option<CancelReason> {
    match state.ended.as_ref().map(|ended| ended.by) {
        Some(EndedBy::Deadline) => Some(CancelReason::Deadline),
        Some(EndedBy::Local) if state.stopping => Some(CancelReason::Stopping),
        Some(EndedBy::Local) => Some(CancelReason::Withdrawn),
        Some(EndedBy::Status) => state.withdrawn.then_some(CancelReason::Withdrawn),
        Some(_) => Some(CancelReason::Peer),
        None => state.stopping.then_some(CancelReason::Stopping),
    }
}
