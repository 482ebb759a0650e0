//! A connection's task: its requests, and how it ends.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _,
    stream::{self, BoxStream, FuturesUnordered, SelectAll},
};
use h3::quic::StreamId;
use headwater_rpc::{
    Acceptor, HandlerLimit, Peer, ServerCounters, channel::Address, http::jittered,
};
use quinn::{ConnectionError, Incoming, RecvStream, SendStream, VarInt};
use tokio::{
    select,
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    config::Http3ServerConfig,
    connection::{Connection, Counted, Streams},
    handshake::{begin, with_certificates},
    request::Known,
    retirement::{Retirement, retirement},
    stream as request,
    tls::{BaseConfig, QuicTls},
};
use crate::{
    codes,
    qpack::QpackWatch,
    quic::{self, Quic},
    sections::ServerSections,
};

/// The largest id of a stream of a request: GOAWAY with it says that another follows (RFC 9114, 5.2).
const LAST_STREAM: u64 = (1 << 62) - 4;
/// From one stream of a request to the next (RFC 9000, 2.1).
const STREAM_STEP: u64 = 4;
/// How long a client has at least to hear of a GOAWAY, and at most, however far away it is.
const HEARING: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

pub(super) type H3 = h3::server::Connection<Quic, Bytes>;
type Opened = Result<(SendStream, RecvStream), ConnectionError>;

/// What all connections of a server have in common.
pub(super) struct Context {
    pub(super) config: Http3ServerConfig,
    pub(super) base: BaseConfig,
    pub(super) tls: Arc<QuicTls>,
    pub(super) local: Address,
    pub(super) acceptor: Acceptor,
    pub(super) counters: ServerCounters,
    /// Connections in their handshake.
    pub(super) handshakes: AtomicUsize,
    pub(super) stopping: watch::Receiver<bool>,
}

/// Serves a connection to its end. Dropping this cuts it.
pub(super) async fn serve(
    incoming: Incoming,
    context: Arc<Context>,
    id: u64,
    seed: u64,
    _place: OwnedSemaphorePermit,
) {
    let remote = Address::Socket(incoming.remote_address()).to_string();
    let peer = Peer::new(remote, context.local.to_string());
    let _counted = Counted::new(&context.counters, id, &peer);
    let mut stopping = context.stopping.clone();
    let begun = select! {
        biased;
        _ = stopping.wait_for(|stopping| *stopping) => return,
        begun = begin(incoming, &context) => begun,
    };
    let (quic, h3, critical) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            tracing::debug!(target: "headwater_http3", connection = id, %error, "no connection");
            return;
        }
    };
    let h3 = Arc::new(Mutex::new(h3));
    let bytes_max = context.config.section_bytes_max();
    let connection = Arc::new(Connection {
        id,
        peer: with_certificates(peer, &quic),
        quic: quic.clone(),
        acceptor: context.acceptor.clone(),
        sections: ServerSections::new(Arc::clone(&h3), bytes_max),
        known: Known::default(),
        section_bytes_max: bytes_max,
        headers_timeout: context.config.headers_timeout,
        counters: context.counters.clone(),
        streams: Streams::new(),
        handlers: HandlerLimit::new(context.config.concurrent_streams_max as usize),
    });
    let watch = QpackWatch::new(quic.clone(), critical);
    let mut driver = Driver::new(connection, h3, watch, &context, stopping, seed);
    let ended = driver.run(context.config.connection_age_grace).await;
    tracing::debug!(target: "headwater_http3", connection = id, ?ended, "connection ends");
}

struct CloseOnDrop(quinn::Connection);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        quic::close(&self.0, codes::NO_ERROR, "");
    }
}

/// How a connection ended.
#[derive(Debug)]
enum Ending {
    /// The client closed it, or was lost, or broke the rules.
    Lost(#[expect(dead_code, reason = "it is read by its Debug")] ConnectionError),
    /// This side had said that it goes, and no stream was open any more.
    Drained,
    /// Streams were still open when the grace after its age was over.
    GraceOver,
}

/// What happens to a connection.
enum Event {
    Opened(Opened),
    Lost(ConnectionError),
    Retire(Retirement),
    /// The client has heard of what was said last.
    Heard,
    GraceOver,
}

/// How far a connection has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The client was told that it will end.
    Leaving,
    /// The client was told which of its streams are served; later ones are not.
    Left,
    /// It has had the time to hear that.
    Heard,
}

struct Driver {
    connection: Arc<Connection>,
    h3: Arc<Mutex<H3>>,
    events: SelectAll<BoxStream<'static, Event>>,
    phase: Phase,
    /// The stream after the last one that came.
    next_stream: u64,
    /// Streams that come now are not served.
    refusing: bool,
    said: Option<StreamId>,
    stopping: watch::Receiver<bool>,
}

impl Driver {
    fn new(
        connection: Arc<Connection>,
        h3: Arc<Mutex<H3>>,
        mut watch: QpackWatch,
        context: &Context,
        stopping: watch::Receiver<bool>,
        seed: u64,
    ) -> Self {
        let quic = connection.quic.clone();
        let accepting = stream::unfold(quic.clone(), |quic| async {
            let opened = quic.accept_bi().await;
            Some((Event::Opened(opened), quic))
        });
        let controlled = Arc::clone(&h3);
        let control = poll_fn(move |cx| {
            // Its errors close the connection, whose end is looked at below.
            let _ = lock(&controlled).poll_accept_request_stream(cx);
            watch.poll(cx);
            Poll::Pending
        });
        let lost = async move { Event::Lost(quic.closed().await) };
        let old_at = context.config.connection_age_max;
        let old_at = old_at.and_then(|age| Instant::now().checked_add(jittered(age, seed)));
        let idle = context.config.idle_timeout;
        let watched = Arc::clone(&connection);
        let retiring =
            async move { Event::Retire(retirement(&watched, old_at, idle, stopping).await) };
        let mut events = SelectAll::new();
        events.push(accepting.boxed());
        events.push(control.into_stream().boxed());
        events.push(lost.into_stream().boxed());
        events.push(retiring.into_stream().boxed());
        Self {
            connection,
            h3,
            events,
            phase: Phase::Open,
            next_stream: 0,
            refusing: false,
            said: None,
            stopping: context.stopping.clone(),
        }
    }

    async fn run(&mut self, grace: Option<Duration>) -> Ending {
        let mut requests = FuturesUnordered::new();
        // Dropped first: whatever is open is then cut before its streams say that they were cancelled.
        let _close = CloseOnDrop(self.connection.quic.clone());
        loop {
            if self.phase == Phase::Heard && requests.is_empty() {
                return Ending::Drained;
            }
            let event = select! {
                biased;
                Some(()) = requests.next() => continue,
                Some(event) = self.events.next() => event,
            };
            match event {
                Event::Opened(Ok(streams)) => {
                    if self.phase == Phase::Open && *self.stopping.borrow() {
                        self.retire(Retirement::Stopping, grace);
                    }
                    if let Some(streams) = self.admit(streams) {
                        requests.push(request::serve(streams, Arc::clone(&self.connection)));
                    }
                }
                // It is lost, which comes as well.
                Event::Opened(Err(_)) => {}
                Event::Lost(error) => return Ending::Lost(error),
                Event::GraceOver => return Ending::GraceOver,
                Event::Retire(why) if self.phase == Phase::Open => self.retire(why, grace),
                Event::Retire(_) => {}
                Event::Heard => self.heard(),
            }
        }
    }

    /// A stream that the client was told is not served is refused, and can be opened elsewhere.
    fn admit(&mut self, streams: (SendStream, RecvStream)) -> Option<(SendStream, RecvStream)> {
        let (mut send, mut recv) = streams;
        let id = VarInt::from(send.id()).into_inner();
        if !self.refusing {
            self.next_stream = id + STREAM_STEP;
            return Some((send, recv));
        }
        // They fail only if the client was faster.
        let _ = send.reset(codes::REQUEST_REJECTED);
        let _ = recv.stop(codes::REQUEST_REJECTED);
        None
    }

    /// Tells the client to open its next streams elsewhere. A server that stops serves none that come from now on; one
    /// that has other reasons tells which it serves once its client has heard that there is an end.
    fn retire(&mut self, why: Retirement, grace: Option<Duration>) {
        let id = self.connection.id;
        tracing::debug!(target: "headwater_http3", connection = id, ?why, "connection retires");
        if why == Retirement::Stopping {
            self.leave();
        } else {
            self.go_away(LAST_STREAM);
            self.phase = Phase::Leaving;
        }
        self.hear_later();
        let grace = grace.filter(|_| why != Retirement::Stopping);
        if let Some(cut_at) = grace.and_then(|grace| Instant::now().checked_add(grace)) {
            let over = async move {
                sleep_until(cut_at).await;
                Event::GraceOver
            };
            self.events.push(over.into_stream().boxed());
        }
    }

    fn heard(&mut self) {
        if self.phase == Phase::Leaving {
            self.leave();
            return self.hear_later();
        }
        self.phase = Phase::Heard;
    }

    /// Serves no further streams. What the client is told is greater than all that are served (RFC 9114, 5.2).
    fn leave(&mut self) {
        self.refusing = true;
        self.go_away(self.next_stream);
        self.phase = Phase::Left;
    }

    fn go_away(&mut self, from: u64) {
        let from = StreamId::try_from(from).expect("a stream's id");
        let mut h3 = lock(&self.h3);
        // A client that makes no room on the control stream is not told, and finds its streams refused.
        let _ = h3.inner.shutdown(&mut self.said, from).now_or_never();
    }

    fn hear_later(&mut self) {
        let (least, most) = HEARING;
        let heard = sleep((self.connection.quic.rtt() * 2).clamp(least, most));
        let heard = async move {
            heard.await;
            Event::Heard
        };
        self.events.push(heard.into_stream().boxed());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // `h3` has no state that a panic would leave half changed and anybody would use.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
