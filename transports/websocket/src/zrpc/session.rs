//! One socket and its calls, in one task.

use std::{future::ready, sync::Arc, time::Duration};

use bytes::Bytes;
use headwater_proto::websocket::{Incoming, MessageKind};
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout},
};

use super::{calls::Calls, config::TextFrames, out::Out};
use crate::{ReadError, Reader, Socket, WebSocketServerConfig, Writer};

/// How long a client may take to close its side after the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Going away (RFC 6455, section 7.4.1).
const GOING_AWAY: u16 = 1001;
/// Message too big (RFC 6455, section 7.4.1).
const TOO_BIG: u16 = 1009;
/// The finest that the session looks for silence.
const TICK_MIN: Duration = Duration::from_millis(10);

/// What the frames of a socket are, with call ids or without.
pub(super) trait Dialect {
    /// A message came.
    fn binary(&mut self, message: Bytes, calls: &mut Calls, out: &mut Out);

    /// A text came, which means nothing, and that is to be said.
    fn text(&mut self, calls: &mut Calls, out: &mut Out);

    /// A message is too long to be taken; a close frame follows.
    fn too_long(&mut self, out: &mut Out);

    /// This call may have something to say: takes one pull of it.
    fn pump(&mut self, call: u32, calls: &mut Calls, out: &mut Out);

    /// All that came at once has been handled.
    fn settle(&mut self, calls: &Calls, out: &mut Out);
}

/// A socket with its calls. Dropped, it cancels them.
pub(super) struct Session<D> {
    reader: Reader,
    writer: Writer,
    dialect: D,
    calls: Calls,
    out: Out,
    config: Arc<WebSocketServerConfig>,
    stopping: watch::Receiver<bool>,
    tick: Interval,
    heard: Instant,
    pinged: bool,
    /// Since when no call is open.
    idle_since: Option<Instant>,
}

/// Why a session goes on.
enum Event {
    /// What came is in the turn, or nothing more comes.
    Read(Result<(), ReadError>),
    /// A call may have something to say, or there is room for it.
    Look,
    /// The connection is broken.
    Broken,
    Stop,
    Tick,
}

impl<D: Dialect> Session<D> {
    pub(super) fn new(
        socket: Socket,
        calls: Calls,
        dialect: D,
        config: Arc<WebSocketServerConfig>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let Socket { reader, writer } = socket;
        let now = Instant::now();
        Self {
            reader,
            writer,
            dialect,
            calls,
            out: Out::default(),
            tick: ticks(&config, now),
            config,
            stopping,
            heard: now,
            pinged: false,
            idle_since: None,
        }
    }

    /// Serves the socket until it is over.
    pub(super) async fn run(mut self) {
        let mut turn = Vec::new();
        loop {
            self.pump();
            if self.out.write(&self.writer).is_err() {
                return;
            }
            if self.out.is_closing() {
                return self.part().await;
            }
            let event = self.next(&mut turn).await;
            if !self.handle(event, &mut turn) {
                return;
            }
            // A call that always has more, and a client that always takes it, must not keep others from this thread.
            tokio::task::consume_budget().await;
        }
    }

    /// Takes what calls have to say, one pull of each in turn, while there is room.
    fn pump(&mut self) {
        while self.out.has_room()
            && let Some(call) = self.calls.next_woken()
        {
            self.dialect.pump(call, &mut self.calls, &mut self.out);
        }
        self.dialect.settle(&self.calls, &mut self.out);
        if !self.calls.is_empty() {
            self.idle_since = None;
            return;
        }
        if self.calls.stopping {
            self.out.close(GOING_AWAY, "the server is stopping");
        }
        if self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
    }

    /// Waits for something to happen.
    async fn next(&mut self, turn: &mut Vec<Incoming>) -> Event {
        let room = self.out.has_room();
        // A write has made room for them.
        let look = room && !self.calls.woken.is_empty();
        let Self {
            reader,
            writer,
            calls,
            out,
            stopping,
            tick,
            ..
        } = self;
        tokio::select! {
            read = reader.read_turn(turn), if out.takes_answers() => Event::Read(read),
            () = ready(()), if look => Event::Look,
            () = calls.woken.changed(), if room => Event::Look,
            writable = writer.writable(), if !out.is_empty() => match writable {
                Ok(()) => Event::Look,
                Err(_) => Event::Broken,
            },
            _ = stopping.wait_for(|stopping| *stopping), if !calls.stopping => Event::Stop,
            _ = tick.tick() => Event::Tick,
        }
    }

    /// Whether the session goes on.
    fn handle(&mut self, event: Event, turn: &mut Vec<Incoming>) -> bool {
        match event {
            Event::Read(Ok(())) => {
                self.heard = Instant::now();
                self.pinged = false;
                for incoming in turn.drain(..) {
                    self.incoming(incoming);
                }
                true
            }
            Event::Read(Err(ReadError::Violation(violation))) => {
                if violation.close_code == TOO_BIG {
                    self.dialect.too_long(&mut self.out);
                }
                self.out.close(violation.close_code, violation.reason);
                true
            }
            Event::Read(Err(_)) | Event::Broken => false,
            Event::Look => true,
            Event::Stop => {
                self.calls.stopping = true;
                true
            }
            Event::Tick => self.tick(),
        }
    }

    fn incoming(&mut self, incoming: Incoming) {
        let Self {
            dialect,
            calls,
            out,
            ..
        } = self;
        match incoming {
            Incoming::Message {
                kind: MessageKind::Binary,
                data,
            } => out.answer(|out| dialect.binary(data, calls, out)),
            Incoming::Message {
                kind: MessageKind::Text,
                ..
            } => match calls.config.text {
                TextFrames::Ignore => {}
                TextFrames::Refuse => out.answer(|out| dialect.text(calls, out)),
            },
            Incoming::Ping(payload) => out.answer(|out| out.pong(&payload)),
            Incoming::Pong(_) => {}
            Incoming::Close { code, reason } => out.close(code.unwrap_or(1000), &reason),
        }
    }

    /// Whether the client still lives, as far as is known.
    fn tick(&mut self) -> bool {
        let silent = self.heard.elapsed();
        if silent >= self.calls.config.silence_max {
            tracing::debug!(?silent, "a client has not answered");
            return false;
        }
        if silent >= self.config.ping_interval && !self.pinged {
            self.out.ping();
            self.pinged = true;
        }
        let idle = self.idle_since.map(|since| since.elapsed());
        if self
            .config
            .idle_timeout
            .is_some_and(|max| idle >= Some(max))
        {
            self.out.close(GOING_AWAY, "no call was open for long");
        }
        true
    }

    /// After the close frame: says the rest, and lets the client read it.
    async fn part(self) {
        let Self {
            mut reader,
            writer,
            calls,
            mut out,
            ..
        } = self;
        let patience = calls.config.silence_max;
        // Their handlers need not wait for the rest.
        drop(calls);
        while !out.is_empty() {
            let writable = timeout(patience, writer.writable()).await;
            if !matches!(writable, Ok(Ok(()))) || out.write(&writer).is_err() {
                return;
            }
        }
        writer.finish();
        // Closing with unread bytes would reset the connection before the client has seen the close frame.
        let _ = timeout(CLOSE_TIMEOUT, reader.drain()).await;
    }
}

/// Often enough for the shortest of the times that are looked for.
fn ticks(config: &WebSocketServerConfig, now: Instant) -> Interval {
    let times = [
        Some(config.ping_interval),
        Some(config.zrpc.silence_max),
        config.idle_timeout,
    ];
    let shortest = times.into_iter().flatten().min();
    let period = shortest.unwrap_or_default().max(TICK_MIN);
    let first = now.checked_add(period).unwrap_or(now);
    let mut ticks = interval_at(first, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
