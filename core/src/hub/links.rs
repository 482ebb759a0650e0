//! Upstreams come, drain, and go.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;
use headwater_proto::{Code, Status, v1};

use super::{
    ConnectionKey, Hub, LinkKey, Output,
    lane::{Queued, SentState},
};

impl<C: Clone, L: Clone> Hub<C, L> {
    /// An upstream registers.
    pub(super) fn register(
        &mut self,
        key: LinkKey,
        link: L,
        register: v1::Register,
        registration: String,
        resume_token: Bytes,
    ) {
        let taken = if self.closing.is_some() {
            Err(Status::new(
                Code::Unavailable,
                "the service is shutting down",
            ))
        } else {
            self.upstreams.register(key, link.clone(), register)
        };
        if let Err(status) = taken {
            self.outputs.push_back(Output::EndLink {
                to: link,
                outcome: Err(status),
            });
            return;
        }
        let registered = v1::Registered {
            registration,
            resume_token,
            epoch: self.config.epoch.clone(),
            resumed: false,
            applied: 0,
            limits: Some(v1::Limits {
                commands: self.config.commands_max,
                frame_bytes: self.config.frame_bytes_max,
            }),
        };
        self.send_to_link(key, v1::service_frame::Frame::Registered(registered.into()));
        self.pump_waiting();
    }

    /// An upstream wants nothing new; its connections go to others.
    pub(super) fn drain_link(&mut self, link: LinkKey) {
        let Some((at, registration)) = self.upstreams.of_link(link) else {
            return;
        };
        registration.draining = true;
        self.unblock(at);
        self.end_if_drained(link);
    }

    pub(super) fn end_if_drained(&mut self, link: LinkKey) {
        let Some((_, registration)) = self.upstreams.of_link(link) else {
            return;
        };
        if !(registration.draining && registration.is_settled()) {
            return;
        }
        let to = registration.link.clone();
        self.link_ended(link);
        self.outputs.push_back(Output::EndLink {
            to,
            outcome: Ok(()),
        });
    }

    /// A link is no more: what it had not answered fails, notices go to another upstream, marked.
    pub(super) fn link_ended(&mut self, link: LinkKey) {
        let Some((gone, registration)) = self.upstreams.remove(link) else {
            return;
        };
        let mut touched: Vec<ConnectionKey> = registration.blocked.values().copied().collect();
        for &key in &touched {
            if let Some(connection) = self.members.connection_mut(key) {
                connection.lane.blocked = None;
            }
        }
        let lost: Vec<_> = registration.into_unsettled().collect();
        for event in &lost {
            self.lose(event.connection, event.number);
            touched.push(event.connection);
        }
        for key in touched {
            if let Some(connection) = self.members.connection_mut(key) {
                connection.lane.assigned.retain(|&(_, to)| to != gone);
            }
            self.pump(key);
        }
    }

    /// An event was sent on a link that is no more.
    fn lose(&mut self, key: ConnectionKey, number: u64) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        let Some(sent) = connection.lane.take_sent(number) else {
            return;
        };
        match sent.state {
            SentState::Waiting(waits, at) => {
                self.events.answered(key, number, at);
                self.fail(
                    key,
                    waits,
                    Status::new(Code::Unavailable, "the upstream was lost"),
                );
            }
            SentState::Notice(body) => {
                let notice = Queued {
                    number,
                    body,
                    waits: None,
                    until: self.now + self.config.notice_timeout,
                    redelivered: true,
                };
                self.events.queued(key, &notice);
                connection.lane.put_back(notice);
            }
            SentState::Answered | SentState::Expired | SentState::Withdrawn => {}
        }
    }

    pub(super) fn send_to_link(&mut self, link: LinkKey, frame: v1::service_frame::Frame) {
        let Some((_, registration)) = self.upstreams.of_link(link) else {
            return;
        };
        self.outputs.push_back(Output::Link {
            to: registration.link.clone(),
            frame: frame.into(),
        });
    }
}
