//! What a handler knows of a call beside its messages.

use std::{sync::Arc, time::Duration};

use headwater_proto::Metadata;
use tokio::time::Instant;

use crate::{Cancellation, Peer};

/// What a handler knows of a call beside its messages.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerContext {
    /// The method, such as `/package.Service/Method`.
    pub path: Arc<str>,
    /// The metadata of the request.
    pub metadata: Metadata,
    /// Who calls.
    pub peer: Peer,
    /// Tells that nobody waits for the answer any more.
    pub cancellation: Cancellation,
}

impl ServerContext {
    /// When the call's time is over. `None` if it is without bound.
    pub fn deadline(&self) -> Option<Instant> {
        self.cancellation.deadline()
    }

    /// How much of the call's time is left; zero once it is over. `None` if it is without bound.
    pub fn time_left(&self) -> Option<Duration> {
        let deadline = self.deadline()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }
}

/// A request as a service gets it: the message, or the [`super::Messages`], and what goes with it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerRequest<T> {
    /// What is asked.
    pub message: T,
    /// What else is known of the call.
    pub context: ServerContext,
}

impl<T> ServerRequest<T> {
    pub(crate) const fn new(message: T, context: ServerContext) -> Self {
        Self { message, context }
    }

    /// The metadata of the request.
    pub const fn metadata(&self) -> &Metadata {
        &self.context.metadata
    }
}
