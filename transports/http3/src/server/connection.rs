//! One accepted connection, and what its streams know of it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use headwater_rpc::{Acceptor, HandlerLimit, Peer, ServerCounters};
use tokio::time::Instant;

use super::request::Known;
use crate::sections::ServerSections;

/// What is known of a connection.
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) peer: Peer,
    pub(super) quic: quinn::Connection,
    pub(super) acceptor: Acceptor,
    pub(super) sections: ServerSections,
    pub(super) known: Known,
    pub(super) section_bytes_max: u64,
    pub(super) headers_timeout: Duration,
    pub(super) counters: ServerCounters,
    pub(super) streams: Streams,
    /// As many as streams may be open.
    pub(super) handlers: HandlerLimit,
}

/// The streams of a connection that are open.
pub(super) struct Streams {
    open: AtomicUsize,
    /// When the last one ended.
    idle_since: Mutex<Instant>,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self {
            open: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
        }
    }

    /// Since when none is open; `None` if one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let since = self
            .idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (self.open.load(Ordering::Acquire) == 0).then_some(*since)
    }
}

impl Connection {
    pub(super) fn open_stream(self: &Arc<Self>) -> OpenStream {
        self.streams.open.fetch_add(1, Ordering::AcqRel);
        self.counters.stream_opened();
        tracing::debug!(target: "headwater_http3", connection = self.id, "stream opened");
        OpenStream(Arc::clone(self))
    }
}

/// A stream that is open until this is dropped.
pub(super) struct OpenStream(Arc<Connection>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        let connection = &*self.0;
        let streams = &connection.streams;
        let mut idle_since = streams
            .idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *idle_since = Instant::now();
        streams.open.fetch_sub(1, Ordering::AcqRel);
        drop(idle_since);
        connection.counters.stream_ended();
        tracing::debug!(target: "headwater_http3", connection = connection.id, "stream ended");
    }
}

/// One more connection until this is dropped.
pub(super) struct Counted<'a> {
    counters: &'a ServerCounters,
    id: u64,
}

impl<'a> Counted<'a> {
    pub(super) fn new(counters: &'a ServerCounters, id: u64, peer: &Peer) -> Self {
        counters.connection_opened();
        tracing::debug!(target: "headwater_http3", connection = id, %peer, "connection opened");
        Self { counters, id }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counters.connection_closed();
        tracing::debug!(target: "headwater_http3", connection = self.id, "connection closed");
    }
}
