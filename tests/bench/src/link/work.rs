//! The same work for all: an event of 128 bytes, echoed.

use std::time::Instant;

use bytes::Bytes;
use headwater_proto::v1;

/// How many events pass between two looks at the clock.
pub(crate) const EVENTS_A_LOOK: u64 = 64;

pub(crate) fn payload() -> Bytes {
    Bytes::from(vec![b'x'; 128])
}

/// As long as the real ones.
pub(crate) fn connection_id(connection: usize) -> String {
    format!("connection-{connection:011}")
}

/// A message of one connection.
pub(crate) fn event(seq: u64, connection: usize, number: u64, payload: &Bytes) -> v1::Event {
    v1::Event {
        seq,
        id: Some(v1::EventId {
            connection_id: connection_id(connection),
            number,
        }),
        redelivered: false,
        context: Some(v1::ConnectionContext {
            user_id: Some("somebody".into()),
            subprotocol: "json.webpubsub.azure.v1".into(),
            state: Bytes::new(),
        }),
        time_left_ms: 30_000,
        trace: None,
        event: Some(v1::event::Event::Message(v1::Message {
            name: "echo".into(),
            payload: Some(v1::Payload {
                r#type: v1::DataType::Text.into(),
                data: payload.clone(),
            }),
            metadata: [].into(),
        })),
    }
}

/// Says when a run is over, without asking the clock for each event.
pub(crate) struct Finish {
    until: Instant,
    events: u64,
    over: bool,
}

impl Finish {
    pub(crate) const fn new(until: Instant) -> Self {
        Self {
            until,
            events: 0,
            over: false,
        }
    }

    /// Counts an answered event. Says whether another one shall go.
    pub(crate) fn answered(&mut self) -> bool {
        self.events += 1;
        if self.events.is_multiple_of(EVENTS_A_LOOK) {
            self.over |= Instant::now() >= self.until;
        }
        !self.over
    }

    pub(crate) const fn events(&self) -> u64 {
        self.events
    }
}
