//! A call that has no stream.

use std::{
    mem,
    task::{Context, Poll},
};

use headwater_core::call::{Closed, EndedBy, Reached};
use headwater_proto::Status;

use crate::{Inbound, Received};

/// A call that could not be sent at all: it fails, and the connection stays.
pub struct Unsendable(Option<Closed>);

impl Unsendable {
    /// It fails with this status.
    pub const fn new(status: Status) -> Self {
        Self(Some(Closed {
            status,
            by: EndedBy::Local,
            // Sent again at once, it would fail again.
            reached: Reached::Handler,
        }))
    }
}

impl Inbound for Unsendable {
    fn poll_received(&mut self, _: &mut Context<'_>, _: &mut Received) -> Poll<Result<(), Closed>> {
        let closed = mem::take(&mut self.0);
        Poll::Ready(Err(closed.unwrap_or_else(Closed::without_status)))
    }
}
