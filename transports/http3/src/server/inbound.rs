//! The requests of a call.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use futures_util::task::AtomicWaker;
use headwater_rpc::{
    Closed, Inbound, Violation,
    http::{Messages, Part, Source},
};
use quinn::Connection;

use crate::{
    codes, quic,
    stream::{Event, Fault, FrameReader},
};

/// The requests of a call. Dropped, the stream's own task takes it back and reads it to its end.
pub(super) fn requests(
    reader: FrameReader,
    connection: Connection,
    message_bytes_max: usize,
    handback: Arc<Handback>,
) -> impl Inbound {
    let source = RequestSource {
        reader: Some(reader),
        connection,
        handback,
    };
    Messages::requests(source, message_bytes_max)
}

struct RequestSource {
    /// `None` only while this is dropped.
    reader: Option<FrameReader>,
    connection: Connection,
    handback: Arc<Handback>,
}

impl Source for RequestSource {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Closed>>> {
        let Some(reader) = &mut self.reader else {
            return Poll::Ready(None);
        };
        loop {
            return Poll::Ready(match ready!(reader.poll_event(cx)) {
                Ok(Some(Event::Data(data))) => Some(Ok(Part::Data(data))),
                // Trailers of a request say nothing.
                Ok(Some(Event::Headers(_))) => continue,
                Ok(None) => None,
                Err(fault) => Some(Err(closed(fault, reader, &self.connection))),
            });
        }
    }

    fn is_drained(&self) -> bool {
        self.reader.as_ref().is_some_and(FrameReader::is_drained)
    }
}

impl Drop for RequestSource {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.handback.give(reader);
        }
    }
}

/// What a fault of the peer means for the call, of which it is told.
pub(crate) fn closed(fault: Fault, reader: &mut FrameReader, connection: &Connection) -> Closed {
    match fault {
        Fault::Reset(code) => codes::closed_by_reset(code),
        Fault::Lost(error) => codes::closed_by_connection(&error),
        Fault::Stream(code) => {
            reader.stop(code);
            Closed::violation(Violation::Undecodable)
        }
        Fault::TooLarge => {
            reader.stop(codes::EXCESSIVE_LOAD);
            Closed::violation(Violation::TooLarge)
        }
        Fault::Connection(code) => {
            quic::close(connection, code, "a stream of a request is not valid");
            Closed::violation(Violation::Undecodable)
        }
    }
}

/// Where a call leaves its receiving half when it reads no more.
#[derive(Default)]
pub(super) struct Handback {
    slot: Mutex<Option<FrameReader>>,
    waker: AtomicWaker,
}

impl Handback {
    fn give(&self, reader: FrameReader) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(reader);
        drop(slot);
        self.waker.wake();
    }

    /// Waits for it.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<FrameReader> {
        self.waker.register(cx.waker());
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut *slot).map_or(Poll::Pending, Poll::Ready)
    }
}
