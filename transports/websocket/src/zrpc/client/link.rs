//! A socket that many calls share, by frames with call ids.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use headwater_rpc::{Closed, Code, Inbound, Outbound, Reached, RequestHeaders, Status};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{ZrpcClientConfig, dial::Socket, link_calls::LinkCalls, wire::Wire};
use crate::zrpc::{
    inbox::{Inbox, InboxReader},
    woken::Woken,
};

/// How long a socket that nobody needs any more may take to say so.
const FAREWELL: Duration = Duration::from_secs(1);

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
            wire: Wire::new(socket),
            shared: Arc::clone(&shared),
            calls: LinkCalls::new(Arc::clone(&shared.woken)),
            ticks,
            silence: Silence::default(),
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
    wire: Wire,
    shared: Arc<Shared>,
    calls: LinkCalls,
    ticks: Interval,
    silence: Silence,
    ping_timeout: Duration,
}

enum Event {
    /// Something came, or can be said.
    Turn(Result<(), Closed>),
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
                let socket = &mut self.wire.socket;
                let _ = timeout(FAREWELL, socket.close(None::<CloseFrame>)).await;
                break Closed::broken("the client has stopped");
            }
            // A server that always has more must not keep others from this thread.
            tokio::task::consume_budget().await;
        };
        self.shared.close(&closed);
        self.calls.close(&closed);
    }

    /// Says what there is to say, and waits for something to happen.
    async fn turn(&mut self) -> Result<(), Closed> {
        let Self {
            wire,
            calls,
            shared,
            ticks,
            ..
        } = self;
        calls.open(shared.take_new(), &mut wire.out);
        calls.pump(&mut wire.out);
        let room = wire.out.has_room();
        let mut came = Vec::new();
        let event = tokio::select! {
            turn = poll_fn(|cx| wire.poll_turn(cx, &mut came)) => Event::Turn(turn),
            () = shared.woken.changed(), if room => Event::Woken,
            _ = ticks.tick() => Event::Tick,
        };
        match event {
            Event::Woken => Ok(()),
            Event::Tick => self.tick(),
            Event::Turn(turn) => {
                if !came.is_empty() {
                    self.silence = Silence::Heard;
                }
                for message in came {
                    self.calls.incoming(message, &mut self.wire.out)?;
                }
                turn
            }
        }
    }

    fn tick(&mut self) -> Result<(), Closed> {
        match self.silence {
            Silence::Heard => self.silence = Silence::Quiet,
            Silence::Quiet => {
                self.silence = Silence::Asked;
                self.ticks.reset_after(self.ping_timeout);
                self.wire.out.ping();
            }
            Silence::Asked => return Err(Closed::broken("the server did not answer in time")),
        }
        Ok(())
    }
}
