//! A socket that many calls share, by frames with call ids.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use headwater_rpc::{Closed, Code, Inbound, Outbound, Reached, RequestHeaders, Status};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::{self, Message, protocol::CloseFrame};

use super::{ZrpcClientConfig, dial::Socket, link_calls::LinkCalls};
use crate::zrpc::{
    inbox::{Inbox, InboxReader},
    woken::Woken,
};

/// How long a socket that nobody needs any more may take to say so.
const FAREWELL: Duration = Duration::from_secs(1);
/// Messages that are taken off the socket before calls are looked at again.
const TURN_MESSAGES: usize = 256;

/// The handle of a shared socket, which a task of its own holds. Dropped, the socket is closed when no call is open.
pub(super) struct Link {
    shared: Arc<Shared>,
}

/// Between those who open calls and the task that carries them.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) woken: Arc<Woken>,
}

#[derive(Default)]
struct State {
    last_id: u32,
    /// Calls that the task has not taken yet.
    new: Vec<NewCall>,
    /// Why the socket takes no more calls.
    closed: Option<Closed>,
    /// Nobody opens calls any more.
    released: bool,
}

/// A call that is to be opened.
pub(super) struct NewCall {
    pub(super) id: u32,
    pub(super) headers: RequestHeaders,
    pub(super) outbound: Outbound,
    pub(super) inbox: Arc<Inbox>,
}

impl Link {
    /// Has a task of its own carry calls over a socket.
    pub(super) fn start(socket: Socket, config: &ZrpcClientConfig) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            woken: Arc::default(),
        });
        let mut ticks = interval(config.ping_interval.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let session = Session {
            socket,
            shared: Arc::clone(&shared),
            calls: LinkCalls::new(Arc::clone(&shared.woken)),
            ticks,
            silence: Silence::default(),
            patience: config.ping_interval.saturating_add(config.ping_timeout),
            ping_timeout: config.ping_timeout,
        };
        tokio::spawn(session.run());
        Self { shared }
    }

    /// Whether it takes calls, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        let state = self.shared.lock();
        state.closed.is_none() && state.last_id < u32::MAX
    }

    /// Opens a call.
    pub(super) fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        let mut state = self.shared.lock();
        if let Some(closed) = &state.closed {
            return Err(closed.status.clone());
        }
        let Some(id) = state.last_id.checked_add(1) else {
            return Err(Status::new(Code::Unavailable, "the socket has no ids left"));
        };
        state.last_id = id;
        let waker = self.shared.woken.waker(id);
        let inbox = Inbox::new(waker.clone());
        state.new.push(NewCall {
            id,
            headers,
            outbound,
            inbox: Arc::clone(&inbox),
        });
        drop(state);
        waker.wake();
        Ok(Box::new(InboxReader(inbox)))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.lock().released = true;
        self.shared.woken.waker(0).wake();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_new(&self) -> Vec<NewCall> {
        std::mem::take(&mut self.lock().new)
    }

    /// Nobody needs the socket: no call is open, and none will be.
    fn is_over(&self, calls: &LinkCalls) -> bool {
        let state = self.lock();
        state.released && state.new.is_empty() && calls.is_empty()
    }

    /// The socket is gone; what was never sent is told so.
    fn close(&self, closed: &Closed) {
        let mut state = self.lock();
        state.closed = Some(closed.clone());
        let new = std::mem::take(&mut state.new);
        drop(state);
        for call in new {
            call.inbox
                .close(closed.clone().having_reached(Reached::Nothing));
        }
    }
}

/// What is known of a server that says nothing.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Silence {
    #[default]
    Heard,
    /// Nothing came since the last tick.
    Quiet,
    Asked,
}

struct Session {
    socket: Socket,
    shared: Arc<Shared>,
    calls: LinkCalls,
    ticks: Interval,
    silence: Silence,
    /// How long a write may take.
    patience: Duration,
    ping_timeout: Duration,
}

enum Event {
    Came(Option<Result<Message, tungstenite::Error>>),
    Woken,
    Tick,
}

impl Session {
    async fn run(mut self) {
        let closed = loop {
            if let Err(closed) = self.turn().await {
                break closed;
            }
            if self.shared.is_over(&self.calls) {
                // Too late is as good as not at all.
                let _ = timeout(FAREWELL, self.socket.close(None::<CloseFrame>)).await;
                break Closed::broken("the client has stopped");
            }
            // A server that always has more must not keep others from this thread.
            tokio::task::consume_budget().await;
        };
        self.shared.close(&closed.clone());
        self.calls.close(&closed);
    }

    /// Says what there is to say, and waits for something to happen.
    async fn turn(&mut self) -> Result<(), Closed> {
        let mut out = Vec::new();
        self.calls.open(self.shared.take_new(), &mut out);
        self.calls.pump(&mut out);
        if !out.is_empty() {
            self.write(out.into_iter().map(Message::Binary)).await?;
        }
        let Self {
            socket,
            calls,
            shared,
            ticks,
            ..
        } = self;
        let event = tokio::select! {
            came = socket.next() => Event::Came(came),
            () = shared.woken.changed() => Event::Woken,
            () = std::future::ready(()), if calls.has_ready() => Event::Woken,
            _ = ticks.tick() => Event::Tick,
        };
        match event {
            Event::Woken => Ok(()),
            Event::Tick => self.tick().await,
            Event::Came(came) => self.read(came).await,
        }
    }

    /// Takes what came, and what has come with it.
    async fn read(
        &mut self,
        first: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<(), Closed> {
        self.silence = Silence::Heard;
        let mut out = Vec::new();
        let mut came = Some(first);
        for _ in 0..TURN_MESSAGES {
            let Some(message) = came else { break };
            let message = message.ok_or_else(|| Closed::broken("the server has gone"))?;
            self.calls
                .incoming(message.map_err(|error| broken(&error))?, &mut out)?;
            came = self.socket.next().now_or_never();
        }
        if let Some(left) = came {
            // It was taken, so it counts; the turn is only cut short.
            let message = left.ok_or_else(|| Closed::broken("the server has gone"))?;
            self.calls
                .incoming(message.map_err(|error| broken(&error))?, &mut out)?;
        }
        if out.is_empty() {
            return Ok(());
        }
        self.write(out.into_iter().map(Message::Binary)).await
    }

    async fn tick(&mut self) -> Result<(), Closed> {
        match self.silence {
            Silence::Heard => self.silence = Silence::Quiet,
            Silence::Quiet => {
                self.silence = Silence::Asked;
                self.ticks.reset_after(self.ping_timeout);
                self.write([Message::Ping(Bytes::new())].into_iter())
                    .await?;
            }
            Silence::Asked => return Err(Closed::broken("the server did not answer in time")),
        }
        Ok(())
    }

    /// Writes in one go, which a server that does not read must not hold up for ever.
    async fn write(&mut self, messages: impl Iterator<Item = Message>) -> Result<(), Closed> {
        let socket = &mut self.socket;
        let write = async {
            for message in messages {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        match timeout(self.patience, write).await {
            Ok(written) => written.map_err(|error| broken(&error)),
            Err(_) => Err(Closed::broken("the server did not read in time")),
        }
    }
}

fn broken(error: &tungstenite::Error) -> Closed {
    Closed::broken(&format!("the connection was lost: {error}"))
}
