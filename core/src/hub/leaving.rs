//! The hub leaves: first its clients, then, when all is settled, its upstreams.

use core::time::Duration;

use headwater_proto::v1::{self, service_frame::Frame};

use super::{Hub, Output};
use crate::Time;

/// How the hub leaves.
#[derive(Debug)]
pub(super) struct Closing {
    reconnect_within: Duration,
    /// Upstreams were told.
    told: bool,
}

impl<C: Clone, L: Clone> Hub<C, L> {
    /// Closes every connection with code 1001 and lets no more in; upstreams are told to leave when they have settled all
    /// that they are to hear, for once told they may ask for nothing new.
    ///
    /// What has fallen due by `now` fails first, as with [`Hub::handle`].
    pub fn shut_down(&mut self, reason: &str, reconnect_within: Duration, now: Time) {
        self.advance(now);
        self.closing = Some(Closing {
            reconnect_within,
            told: false,
        });
        for key in self.members.all_keys() {
            self.close(key, 1001, reason);
        }
        self.pump_waiting();
    }

    /// Once, when nothing is left that upstreams are to hear.
    pub(super) fn dismiss_upstreams(&mut self) {
        let Some(closing) = self.closing.as_mut().filter(|closing| !closing.told) else {
            return;
        };
        if !self.members.is_empty() {
            return;
        }
        closing.told = true;
        let reconnect_within_ms =
            u32::try_from(closing.reconnect_within.as_millis()).unwrap_or(u32::MAX);
        for to in self.upstreams.links() {
            self.outputs.push_back(Output::Link {
                to: to.clone(),
                frame: Frame::Drain(v1::Drain {
                    reconnect_within_ms,
                })
                .into(),
            });
        }
    }
}
