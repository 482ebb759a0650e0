//! How events end without an answer: at their deadline, or with their client.

use alloc::{string::String, vec::Vec};
use core::{mem, time::Duration};

use headwater_proto::{Code, Status, v1};

use super::{
    ConnectionKey, Hub, Output,
    lane::{Body, Queued, SentState, Waits},
    upstreams::Pick,
};

impl<C: Clone, L: Clone> Hub<C, L> {
    /// Fails what has fallen due.
    pub(super) fn expire(&mut self) {
        while let Some((key, number)) = self.events.take_due(self.now) {
            let line = self
                .members
                .connection(key)
                .and_then(|connection| connection.lane.blocked);
            self.expire_one(key, number);
            self.pump(key);
            if let Some((at, _)) = line {
                // It may have been what those behind it waited for.
                self.unblock(at);
            }
        }
    }

    fn expire_one(&mut self, key: ConnectionKey, number: u64) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        if let Some(event) = connection.lane.withdraw(number) {
            self.events.forget(key, &event);
            match event.waits {
                Some(waits) => {
                    let status =
                        Status::new(Code::Unavailable, "no upstream was there to handle this");
                    self.fail(key, waits, status);
                }
                None => self.drop_or_keep(key, event),
            }
            return;
        }
        let Some(sent) = connection.lane.sent_mut(number) else {
            return;
        };
        if let SentState::Waiting(waits, _) = mem::replace(&mut sent.state, SentState::Expired) {
            let status = Status::new(
                Code::DeadlineExceeded,
                "the upstream did not answer in time",
            );
            self.fail(key, waits, status);
        }
    }

    /// A notice waited for long. If no upstream is there it is dropped, lest notices pile up; the numbers of the
    /// connection's later events show it. Otherwise it waits for its turn.
    fn drop_or_keep(&mut self, key: ConnectionKey, mut notice: Queued) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        let lane = &mut connection.lane;
        let pick = self
            .upstreams
            .pick(notice.body.kind(), &connection.id, &mut lane.assigned);
        if pick == Pick::Wait {
            return;
        }
        notice.until = self.now + self.config.notice_timeout.max(Duration::from_millis(1));
        self.events.queued(key, &notice);
        lane.put_back(notice);
    }

    /// The client of this lane has gone: what waits for an answer is told so, and an unsent `connect` is dropped.
    pub(super) fn cancel_lane(&mut self, key: ConnectionKey) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        let connect = connection
            .lane
            .queue
            .pop_front_if(|event| matches!(event.body, Body::Connect(_)));
        if let Some(event) = connect {
            self.events.forget(key, &event);
        }
        let mut cancelled = Vec::new();
        for sent in &mut connection.lane.sent {
            let SentState::Waiting(waits, at) = sent.state else {
                continue;
            };
            cancelled.push((sent.registration, sent.number));
            if waits == Waits::Connect {
                sent.state = SentState::Withdrawn;
                self.events.answered(key, sent.number, at);
            }
        }
        let id: String = connection.id.as_ref().into();
        for (registration, number) in cancelled {
            let Some(registration) = self.upstreams.registration_mut(registration) else {
                continue;
            };
            let id = v1::EventId {
                connection_id: id.clone(),
                number,
            };
            let frame = v1::service_frame::Frame::Cancel(v1::Cancel { id: Some(id) });
            self.outputs.push_back(Output::Link {
                to: registration.link.clone(),
                frame: frame.into(),
            });
        }
    }
}
