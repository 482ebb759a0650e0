//! pw_rpc's packets on a socket: many calls, one task.
//!
//! The task reads what there is, hands it to the machine ([`headwater_core::packet`]) and to the calls' mailboxes, takes what
//! the calls that rang have to say, and writes all of it at once. No message passes through another task, a channel or a
//! boxed future.

mod alarm;
mod begin;
mod bell;
mod call;
mod keepalive;
mod leaving;
mod line;
mod machine;
mod mailbox;
mod outgoing;
mod piece;
mod services;
mod side;

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use headwater_core::packet::Arrivals;
use tokio::time::{Instant, timeout};

pub(crate) use self::machine::window;
use self::{
    alarm::Alarm,
    keepalive::{Keepalive, Pulse},
    machine::Machine,
};
pub(crate) use self::{
    bell::{Bell, Desk},
    line::{Line, Over},
    mailbox::{Mailbox, MailboxInbound},
    outgoing::{End, Outgoing},
    piece::Piece,
    services::ServiceList,
    side::{ClientSide, Opening, ServerSide, Side, Unrequested},
};

/// With this much unwritten, no further frames of calls are taken.
const UNWRITTEN_BYTES: usize = 128 << 10;
/// With this much of answers to the peer's mistakes unwritten, nothing more is read: it makes them and takes none.
const REPLIES_BYTES: usize = 1 << 20;
/// How long a peer may take to leave after it was told goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

thread_local! {
    /// What a read of this thread has found: a session that waits holds no buffer.
    static SPARE: Cell<Arrivals> = Cell::default();
}

/// What bounds a session, as the configurations of server and client say it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionConfig {
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) call_window_bytes: usize,
    /// Of the peer's.
    pub(crate) calls_max: usize,
    /// Of these, of one method.
    pub(crate) method_calls_max: Option<usize>,
    /// The peer is known to have Headwater's extension.
    pub(crate) is_extended: bool,
}

/// How a session ends.
enum Ending {
    /// The socket brings nothing more.
    Over(Over),
    /// This side is done with it, and the peer may know.
    Done(u16, &'static str),
}

/// One socket and its calls.
pub(crate) struct Session<L> {
    line: L,
    machine: Machine,
    keepalive: Keepalive,
    alarm: Alarm,
    idle_timeout: Option<Duration>,
    idle_since: Option<Instant>,
    /// Nothing is read before all is written.
    is_held_back: bool,
}

impl<L: Line> Session<L> {
    pub(crate) fn new(line: L, side: Side, desk: Arc<Desk>, config: SessionConfig) -> Self {
        let now = Instant::now();
        Self {
            line,
            machine: Machine::new(side, desk, &config),
            keepalive: Keepalive::new(config.ping_interval, config.ping_timeout, now),
            alarm: Alarm::new(now),
            idle_timeout: config.idle_timeout,
            idle_since: None,
            is_held_back: false,
        }
    }

    /// Runs until the socket is over, or this side has stopped. `stopping` is ready when this side refuses new calls; the
    /// open ones go on.
    ///
    /// Dropping it breaks the socket off and ends all calls.
    pub(crate) async fn run(mut self, stopping: impl Future<Output = ()>) {
        let end = tokio::select! {
            biased;
            end = poll_fn(|cx| self.poll(cx)) => end,
            () = stopping => {
                self.machine.drain();
                poll_fn(|cx| self.poll(cx)).await
            }
        };
        let (code, why) = match end {
            Ending::Over(over) => {
                tracing::debug!(why = over.why, "a socket is over");
                self.machine.close(&over);
                (over.code.unwrap_or(1000), over.why)
            }
            Ending::Done(code, why) => {
                self.machine.close(&Over::gone(why));
                (code, why.to_owned())
            }
        };
        self.line.push_close(code, &why);
        // Who does not leave in time is left.
        let _ = timeout(FAREWELL, farewell(&mut self.line)).await;
    }

    /// Does all that can be done now. Ready when the socket is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.machine.desk().wait(cx);
        self.machine.give_up_unread();
        // Before it may be heard that the peer takes none.
        self.machine.open_calls();
        loop {
            let mut busy = match self.poll_read(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(over)) => return Poll::Ready(Ending::Over(over)),
                Poll::Pending => false,
            };
            self.machine.work(&mut self.line);
            match self.poll_flush(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(Ending::Over(broke(&error))),
                Poll::Ready(Ok(())) => busy |= self.is_held_back || self.machine.has_work(),
                Poll::Pending => {}
            }
            if !busy {
                break;
            }
        }
        if self.machine.is_done() && self.line.is_flushed() {
            let (code, why) = self.machine.farewell();
            return Poll::Ready(Ending::Done(code, why));
        }
        self.poll_time(cx)
    }

    /// Takes in what came.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        self.is_held_back = self.machine.replies_unwritten() >= REPLIES_BYTES;
        if self.is_held_back {
            return Poll::Pending;
        }
        let mut arrivals = SPARE.take();
        let read = self.line.poll_packets(cx, &mut arrivals);
        self.keepalive.heard(self.line.signs());
        // What came before the end counts.
        self.machine.receive(&mut self.line, arrivals.drain());
        SPARE.set(arrivals);
        read
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.is_flushed() {
            self.machine.written();
            return Poll::Ready(Ok(()));
        }
        let flushed = self.line.poll_flush(cx)?;
        self.keepalive.heard(self.line.signs());
        if flushed.is_ready() {
            self.machine.written();
        }
        flushed.map(Ok)
    }

    /// Looks after the peer's life, and this socket's use.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            let now = Instant::now();
            let mut next = match self.keepalive.pulse(now) {
                Pulse::Fine(at) => at,
                Pulse::Lost => {
                    let why = format!("nothing was heard for {:?}", self.keepalive.bound());
                    return Poll::Ready(Ending::Over(Over::with_code(1011, why)));
                }
                Pulse::Ask => {
                    self.line.push_ping();
                    if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
                        return Poll::Ready(Ending::Over(broke(&error)));
                    }
                    continue;
                }
            };
            if let Some(at) = self.idle_until(now) {
                if at <= now {
                    return Poll::Ready(Ending::Done(1001, "no calls for a long time"));
                }
                next = next.min(at);
            }
            if let Some(at) = self.machine.gives_up_at() {
                if at <= now {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                next = next.min(at);
            }
            if self.alarm.poll(next, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// When the socket has had no call for too long.
    fn idle_until(&mut self, now: Instant) -> Option<Instant> {
        let timeout = self.idle_timeout?;
        if self.machine.calls() > 0 {
            self.idle_since = None;
            return None;
        }
        self.idle_since.get_or_insert(now).checked_add(timeout)
    }
}

async fn farewell(line: &mut impl Line) {
    if poll_fn(|cx| line.poll_flush(cx)).await.is_ok() {
        poll_fn(|cx| line.poll_drain(cx)).await;
    }
}

fn broke(error: &io::Error) -> Over {
    Over::gone(format!("the connection broke: {error}"))
}

#[cfg(test)]
mod tests;
