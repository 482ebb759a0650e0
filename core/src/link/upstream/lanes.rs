//! The lanes: one for each connection that has an event here.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec::Vec};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use headwater_proto::v1;
use indexmap::IndexMap;

use super::events::shown_state;
use crate::time::Time;

/// Names an event that was given out, until it is done. Counted from 1 over the life of a [`Link`](super::Link), so that
/// it never names a second event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Delivery(u64);

impl Delivery {
    /// The number, for logs.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What an event wants back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Message,
    Notice,
}

impl Kind {
    pub(super) const fn of(event: &v1::event::Event) -> Self {
        match event {
            v1::event::Event::Connect(_) => Self::Connect,
            v1::event::Event::Message(_) => Self::Message,
            v1::event::Event::Connected(_) | v1::event::Event::Disconnected(_) => Self::Notice,
        }
    }
}

/// An event that waits for its turn.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) event: Box<v1::Event>,
    pub(super) connection: Arc<str>,
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) bytes: u64,
    pub(super) link: u64,
    /// When the service tells the client that it has failed, at the latest; `None` if nobody waits for it.
    pub(super) until: Option<Time>,
    pub(super) cancelled: bool,
}

impl Queued {
    fn is_late(&self, now: Time) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// An event whose handler runs.
#[derive(Debug)]
pub(super) struct Running {
    connection: Arc<str>,
    number: u64,
    pub(super) kind: Kind,
    pub(super) seq: u64,
    pub(super) bytes: u64,
    /// Which link it came on; an earlier one takes no answer.
    pub(super) link: u64,
    /// The state that it came with.
    pub(super) shown: Bytes,
    /// The number of its answer.
    pub(super) answer: Option<u64>,
}

impl Running {
    pub(super) fn id(&self) -> v1::EventId {
        v1::EventId {
            connection_id: self.connection.as_ref().into(),
            number: self.number,
        }
    }
}

#[derive(Debug)]
struct Lane {
    running: Delivery,
    queue: VecDeque<Queued>,
}

/// A lane exists while a handler of its connection runs, so a queue never stands without one.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: IndexMap<Arc<str>, Lane, FixedState>,
    running: HashMap<Delivery, Running, FixedState>,
    minted: u64,
}

/// What comes of the end of a handler.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) ended: Running,
    /// What waited for so long that its client was told of a failure: nobody gets it.
    pub(super) late: Vec<Queued>,
    pub(super) next: Option<Started>,
}

/// What is to be started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) delivery: Delivery,
    pub(super) event: Box<v1::Event>,
    pub(super) cancelled: bool,
}

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    pub(super) fn running(&mut self, delivery: Delivery) -> Option<&mut Running> {
        self.running.get_mut(&delivery)
    }

    /// What was answered on this link under this number and still runs. Looks at every lane: refusals are rare.
    pub(super) fn answered_with(&self, seq: u64, link: u64) -> Option<Delivery> {
        let mut deliveries = self.lanes.values().map(|lane| lane.running);
        deliveries.find(|delivery| {
            let running = self.running.get(delivery);
            running.is_some_and(|running| running.link == link && running.answer == Some(seq))
        })
    }

    /// Starts the event if its lane is free, and queues it otherwise.
    pub(super) fn arrive(&mut self, queued: Queued) -> Option<Started> {
        if let Some(lane) = self.lanes.get_mut(&*queued.connection) {
            lane.queue.push_back(queued);
            return None;
        }
        let connection = Arc::clone(&queued.connection);
        let started = self.start(queued);
        let lane = Lane {
            running: started.delivery,
            queue: VecDeque::new(),
        };
        self.lanes.insert(connection, lane);
        Some(started)
    }

    /// Ends what runs, and starts what comes next in its lane and is not late.
    pub(super) fn finish(&mut self, delivery: Delivery, now: Time) -> Option<Finished> {
        let ended = self.running.remove(&delivery)?;
        let connection = &*ended.connection;
        let mut late = Vec::new();
        let mut next = None;
        if let Some(lane) = self.lanes.get_mut(connection) {
            while let Some(queued) = lane.queue.pop_front_if(|queued| queued.is_late(now)) {
                late.push(queued);
            }
            next = lane.queue.pop_front();
        }
        let next = next.map(|next| self.start(next));
        match (&next, self.lanes.get_mut(connection)) {
            (Some(started), Some(lane)) => lane.running = started.delivery,
            (Some(_), None) => {}
            (None, _) => {
                self.lanes.swap_remove(connection);
            }
        }
        Some(Finished { ended, late, next })
    }

    /// Notes that the client of this event has gone. Says which handler to tell; an event that waits is told when it
    /// starts.
    pub(super) fn cancel(&mut self, id: &v1::EventId, link: u64) -> Option<Delivery> {
        let lane = self.lanes.get_mut(id.connection_id.as_str())?;
        let runs = self
            .running
            .get(&lane.running)
            .is_some_and(|running| running.number == id.number && running.link == link);
        if runs {
            return Some(lane.running);
        }
        for queued in &mut lane.queue {
            queued.cancelled |= queued.number == id.number && queued.link == link;
        }
        None
    }

    /// Drops what waits and is not wanted any more.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Queued) -> bool) {
        for lane in self.lanes.values_mut() {
            lane.queue.retain(&mut keep);
        }
    }

    fn start(&mut self, queued: Queued) -> Started {
        self.minted += 1;
        let delivery = Delivery(self.minted);
        let running = Running {
            connection: queued.connection,
            number: queued.number,
            kind: queued.kind,
            seq: queued.event.seq,
            bytes: queued.bytes,
            link: queued.link,
            shown: shown_state(&queued.event),
            answer: None,
        };
        self.running.insert(delivery, running);
        Started {
            delivery,
            event: queued.event,
            cancelled: queued.cancelled,
        }
    }
}
