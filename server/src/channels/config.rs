//! What a service is told of its push channels.

use std::collections::BTreeSet;

use headwater_core::queue::{Mode, QueueConfig};

/// The push channels of a service. They are kept in memory, and end with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelsConfig {
    /// Whether calls without a token are taken, for every channel, as the first clients of the push channel make them. A
    /// token that comes has to be valid all the same. Default: `false`.
    pub allow_anonymous: bool,
    /// Channels where a consumer that says nothing of it has every message ([`Mode::Fanout`]). Default: none.
    pub fanout: BTreeSet<String>,
    /// Channels that there may be; a call that would begin another one is refused with `RESOURCE_EXHAUSTED`. Those that
    /// hold nothing and have no consumer do not count. Default: 10,000.
    pub channels_max: usize,
    /// Bytes of messages that may wait in all channels together; a message past it is refused with `RESOURCE_EXHAUSTED`.
    /// What is in doubt, and history, come on top of it. Default: 1 GiB.
    pub waiting_bytes_max: usize,
    /// The bounds of each channel. What it says of the mode is for the channels that are not in
    /// [`ChannelsConfig::fanout`]. Default: those of [`QueueConfig`], but a message has at most 4 MiB less 64 bytes.
    pub queue: QueueConfig,
}

impl Default for ChannelsConfig {
    fn default() -> Self {
        Self {
            allow_anonymous: false,
            fanout: BTreeSet::new(),
            channels_max: 10_000,
            waiting_bytes_max: 1 << 30,
            queue: QueueConfig {
                // So that each can be pushed in a message of the usual limit, with what is said of it.
                message_bytes_max: (4 << 20) - 64,
                ..QueueConfig::default()
            },
        }
    }
}

impl ChannelsConfig {
    pub(super) fn queue(&self, channel: &str) -> QueueConfig {
        let mut config = self.queue.clone();
        if self.fanout.contains(channel) {
            config.mode = Mode::Fanout;
        }
        config
    }
}
