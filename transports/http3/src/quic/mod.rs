//! QUIC as `h3` sees it: the streams of the connection itself, on which it speaks its settings and GOAWAY.
//!
//! Streams of requests do not go through it. `h3` reads ahead of whoever uses them, takes whole frames however long, and
//! leaves to a drop what only a code can say; so here they are read and written by the crate itself ([`crate::stream`]),
//! and `h3` is handed each header section in memory ([`crate::sections`]).

mod congestion;
mod connection;
mod critical;
mod datagrams;
mod uni;

pub(crate) use self::{
    congestion::Congestion,
    connection::{Opener, Quic},
    critical::{Critical, CriticalStreams},
    datagrams::{Transports, endpoint_config},
};

use std::sync::Arc;

use h3::quic::{ConnectionErrorIncoming, StreamErrorIncoming};
use quinn::ConnectionError;

fn connection_error(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => ConnectionErrorIncoming::ApplicationClose {
            error_code: close.error_code.into_inner(),
        },
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

fn stream_error(error: ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming {
        connection_error: connection_error(error),
    }
}

/// Closes a connection, unless it is closed: quinn would forget how that happened.
pub(crate) fn close(connection: &quinn::Connection, code: quinn::VarInt, reason: &str) {
    if connection.close_reason().is_none() {
        congestion::open(connection);
        connection.close(code, reason.as_bytes());
    }
}
