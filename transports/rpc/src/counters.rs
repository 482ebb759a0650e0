//! What a server holds at the moment.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What a server's transport holds at the moment. Clones count the same server, also after it has stopped.
#[derive(Debug, Clone, Default)]
pub struct ServerCounters(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    connections: AtomicUsize,
    streams: AtomicUsize,
}

impl ServerCounters {
    /// Connections that are open, those in their handshake included.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Acquire)
    }

    /// Streams whose response has not ended, on all connections. A call can end before its stream: what it said last may
    /// wait for its client.
    pub fn streams(&self) -> usize {
        self.0.streams.load(Ordering::Acquire)
    }

    /// For the transport: one connection more.
    pub fn connection_opened(&self) {
        self.0.connections.fetch_add(1, Ordering::AcqRel);
    }

    /// For the transport: one connection less.
    pub fn connection_closed(&self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
    }

    /// For the transport: one stream more.
    pub fn stream_opened(&self) {
        self.0.streams.fetch_add(1, Ordering::AcqRel);
    }

    /// For the transport: one stream less.
    pub fn stream_ended(&self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}
