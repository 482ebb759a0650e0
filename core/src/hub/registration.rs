//! One upstream at work for a hub: what it wants, and the credit it gave.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::ops::RangeInclusive;

use headwater_proto::v1;

use super::{ConnectionKey, upstreams::Kind};
use crate::link::{
    WINDOW_BYTES_DEFAULT, WINDOW_BYTES_MAX, WINDOW_EVENTS_DEFAULT, WINDOW_EVENTS_MAX,
};

/// Names a registration within its hub. It outlives the link that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RegistrationKey(pub(super) u64);

/// A place in the line of those who wait for a window.
pub(super) type Ticket = u64;

/// Which events an upstream wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    connect: bool,
    connected: bool,
    disconnected: bool,
    /// Of user events; `*` is every one.
    messages: Vec<String>,
}

impl Filter {
    /// Without a filter: all.
    pub(super) fn new(filter: Option<v1::EventFilter>) -> Self {
        let Some(filter) = filter else {
            return Self {
                connect: true,
                connected: true,
                disconnected: true,
                messages: Vec::from(["*".into()]),
            };
        };
        Self {
            connect: filter.connect,
            connected: filter.connected,
            disconnected: filter.disconnected,
            messages: filter.messages,
        }
    }

    pub(super) fn wants(&self, kind: Kind<'_>) -> bool {
        match kind {
            Kind::Connect => self.connect,
            Kind::Connected => self.connected,
            Kind::Disconnected => self.disconnected,
            Kind::Message(name) => self
                .messages
                .iter()
                .any(|wanted| wanted == "*" || wanted.eq_ignore_ascii_case(name)),
        }
    }
}

/// An event that was sent and not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsettled {
    pub(super) connection: ConnectionKey,
    pub(super) number: u64,
    bytes: u64,
}

/// One upstream.
#[derive(Debug)]
pub(super) struct Registration<L> {
    /// The driver's handle of its link.
    pub(super) link: L,
    /// The place of its app.
    pub(super) app: usize,
    pub(super) filter: Filter,
    /// It asked for nothing new.
    pub(super) draining: bool,
    /// Lanes whose next event waits for its window, in the order in which they came.
    pub(super) blocked: BTreeMap<Ticket, ConnectionKey>,
    last_ticket: Ticket,
    window_events: usize,
    window_bytes: u64,
    unsettled: BTreeMap<u64, Unsettled>,
    unsettled_bytes: u64,
    last_seq: u64,
}

impl<L> Registration<L> {
    pub(super) fn new(link: L, app: usize, register: v1::Register) -> Self {
        let window = register.window.unwrap_or_default();
        let events = match window.events {
            0 => WINDOW_EVENTS_DEFAULT,
            events => events.min(WINDOW_EVENTS_MAX),
        };
        let window_bytes = match window.bytes {
            0 => WINDOW_BYTES_DEFAULT,
            bytes => bytes.min(WINDOW_BYTES_MAX),
        };
        Self {
            link,
            app,
            filter: Filter::new(register.events),
            draining: false,
            blocked: BTreeMap::new(),
            last_ticket: 0,
            window_events: events as usize,
            window_bytes,
            unsettled: BTreeMap::new(),
            unsettled_bytes: 0,
            last_seq: 0,
        }
    }

    /// Whether an event of this size may be sent now. An event larger than the whole window goes alone.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let fits = self.unsettled_bytes.saturating_add(bytes as u64) <= self.window_bytes;
        self.unsettled.len() < self.window_events && (fits || self.unsettled.is_empty())
    }

    /// Counts an event as sent; its `seq`.
    pub(super) fn send(&mut self, connection: ConnectionKey, number: u64, bytes: usize) -> u64 {
        self.last_seq += 1;
        let bytes = bytes as u64;
        self.unsettled_bytes += bytes;
        self.unsettled.insert(
            self.last_seq,
            Unsettled {
                connection,
                number,
                bytes,
            },
        );
        self.last_seq
    }

    /// Puts a lane at the end of the line.
    pub(super) fn line_up(&mut self, connection: ConnectionKey) -> Ticket {
        self.last_ticket += 1;
        self.blocked.insert(self.last_ticket, connection);
        self.last_ticket
    }

    /// The `seq` of the event that was sent last.
    pub(super) const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Takes back one event that is settled, out of this range of `seq`: the lowest. Call until `None`.
    pub(super) fn settle(&mut self, range: &RangeInclusive<u64>) -> Option<Unsettled> {
        if range.is_empty() {
            return None;
        }
        let (&seq, _) = self.unsettled.range(range.clone()).next()?;
        let event = self.unsettled.remove(&seq)?;
        self.unsettled_bytes -= event.bytes;
        Some(event)
    }

    /// Whether nothing that was sent is unsettled.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// All that was sent and not settled, oldest first.
    pub(super) fn into_unsettled(self) -> impl DoubleEndedIterator<Item = Unsettled> {
        self.unsettled.into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(events: u32, bytes: u64) -> Registration<()> {
        let window = Some(v1::Window { events, bytes });
        let register = v1::Register {
            window,
            ..v1::Register::default()
        };
        Registration::new((), 0, register)
    }

    /// S1-27: an upstream that asks for more than its call can carry is granted what it can.
    #[test]
    fn s1_27_no_window_is_larger_than_what_a_link_carries() {
        let mut many = asking(u32::MAX, u64::MAX);
        for number in 0..u64::from(WINDOW_EVENTS_MAX) {
            assert!(many.has_room(1), "event {number} is within the bound");
            many.send(ConnectionKey(1), number, 1);
        }
        assert!(!many.has_room(1), "one more is over it");

        let mut large = asking(u32::MAX, u64::MAX);
        large.send(ConnectionKey(1), 1, (WINDOW_BYTES_MAX - 1) as usize);
        assert!(large.has_room(1), "up to the bound");
        assert!(!large.has_room(2), "a byte over it");
    }
}
