//! The connection, as `h3` sees it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use h3::{
    error::Code,
    quic::{Connection, ConnectionErrorIncoming, OpenStreams, StreamErrorIncoming},
};
use quinn::{ConnectionError, VarInt};

use super::{
    close, connection_error,
    critical::CriticalStreams,
    stream_error,
    uni::{UniRecv, UniSend},
};
use crate::sections::Memory;

type Streams<S> = Pin<Box<dyn Stream<Item = Result<S, ConnectionError>> + Send + Sync>>;

/// A connection without its requests.
pub(crate) struct Quic {
    opener: Opener,
    /// quinn's own futures borrow the connection, and dropped they forget who waits.
    accepted: Streams<quinn::RecvStream>,
    critical: CriticalStreams,
}

impl Quic {
    /// Streams that `h3` does not look at any more go to `critical`.
    pub(crate) fn new(connection: quinn::Connection, critical: CriticalStreams) -> Self {
        let accepting = connection.clone();
        let accepted = stream::unfold(accepting, |connection| async {
            let accepted = connection.accept_uni().await;
            Some((accepted, connection))
        });
        Self {
            opener: Opener::new(connection, Arc::default()),
            accepted: Box::pin(accepted),
            critical,
        }
    }

    /// The memory that `h3` was handed last for a request.
    pub(crate) fn last(&self) -> Arc<Mutex<Memory>> {
        Arc::clone(&self.opener.last)
    }
}

impl Connection<Bytes> for Quic {
    type RecvStream = UniRecv;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<UniRecv, ConnectionErrorIncoming>> {
        let accepted = ready!(self.accepted.as_mut().poll_next(cx));
        Poll::Ready(match accepted {
            Some(Ok(stream)) => Ok(UniRecv::new(
                self.opener.connection.clone(),
                stream,
                Arc::clone(&self.critical),
            )),
            Some(Err(error)) => Err(connection_error(error)),
            None => Err(ConnectionErrorIncoming::InternalError(
                "no more streams".to_owned(),
            )),
        })
    }

    /// None: whoever holds the connection accepts its requests.
    fn poll_accept_bidi(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<Memory, ConnectionErrorIncoming>> {
        Poll::Pending
    }

    fn opener(&self) -> Opener {
        Opener::new(self.opener.connection.clone(), self.last())
    }
}

impl OpenStreams<Bytes> for Quic {
    type BidiStream = Memory;
    type SendStream = UniSend;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Memory, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<UniSend, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

/// Opens streams. Those for requests are memory, and the last one is kept for whoever asked `h3` to make a request.
pub(crate) struct Opener {
    connection: quinn::Connection,
    opened: Streams<quinn::SendStream>,
    last: Arc<Mutex<Memory>>,
}

impl Opener {
    fn new(connection: quinn::Connection, last: Arc<Mutex<Memory>>) -> Self {
        let opening = connection.clone();
        let opened = stream::unfold(opening, |connection| async {
            let opened = connection.open_uni().await;
            Some((opened, connection))
        });
        Self {
            connection,
            opened: Box::pin(opened),
            last,
        }
    }
}

impl OpenStreams<Bytes> for Opener {
    type BidiStream = Memory;
    type SendStream = UniSend;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Memory, StreamErrorIncoming>> {
        let memory = Memory::default();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = memory.clone();
        Poll::Ready(Ok(memory))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<UniSend, StreamErrorIncoming>> {
        Poll::Ready(match ready!(self.opened.as_mut().poll_next(cx)) {
            Some(Ok(stream)) => Ok(UniSend::new(stream)),
            Some(Err(error)) => Err(stream_error(error)),
            None => Err(StreamErrorIncoming::Unknown("no more streams".into())),
        })
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        let code = VarInt::try_from(code.value()).unwrap_or(VarInt::MAX);
        close(&self.connection, code, &String::from_utf8_lossy(reason));
    }
}
