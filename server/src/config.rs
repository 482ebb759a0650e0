//! What a service is told at its start: plain data.

use std::{collections::BTreeSet, time::Duration};

use headwater_core::{link::service::LinkConfig, outbox::OutboxLimits, session::SessionConfig};

use crate::{ChannelsConfig, auth::AccessKeys};

/// The configuration of a [`Service`](crate::Service).
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// The keys that tokens are signed with.
    pub keys: AccessKeys,
    /// Where clients and applications say that the service is, such as `http://127.0.0.1:8080`: the first one stands in
    /// the connection string, all are taken as the beginning of an audience. Default: none.
    pub endpoints: Vec<String>,
    /// Hubs, lower-cased, that let no client in unless an upstream has answered its `connect`, even before one
    /// registered. Default: none.
    pub require_connect: BTreeSet<String>,
    /// Hubs that there may be; who names one more is refused, a client with 429. A hub stays until the service ends.
    /// Default: 10,000.
    pub hubs_max: usize,
    /// How long a client waits for the answer to its `connect`; then 504, or 503 if no upstream was there.
    /// Default: 30 s.
    pub connect_timeout: Duration,
    /// How long a client waits for the answer to its message; then its ack says that it failed. Default: 30 s.
    pub message_timeout: Duration,
    /// The longest message of a client, in bytes; a longer one closes the connection with 1009. At most
    /// [`ServiceConfig::MESSAGE_BYTES_LIMIT`]. Default: 1 MiB.
    pub message_bytes_max: usize,
    /// What may wait for one client; more closes its connection. Default: 16 MiB, 16,384 messages.
    pub outbox: OutboxLimits,
    /// Keep-alive and patience with clients.
    pub session: SessionConfig,
    /// The bounds of upstreams.
    pub link: LinkConfig,
    /// Bytes of events that may wait for upstreams, in each hub; past it a new event fails at once. Default: 64 MiB.
    pub waiting_bytes_max: usize,
    /// The push channels.
    pub channels: ChannelsConfig,
}

impl ServiceConfig {
    /// What [`ServiceConfig::message_bytes_max`] may be at most: 3.5 MiB. A link carries 4 MiB in one frame, and what an
    /// event says of its connection comes on top of the message, its state of up to 64 KiB among it.
    pub const MESSAGE_BYTES_LIMIT: usize = 7 << 19;

    /// The defaults, with these keys.
    pub fn new(keys: impl Into<AccessKeys>) -> Self {
        Self {
            keys: keys.into(),
            endpoints: Vec::new(),
            require_connect: BTreeSet::new(),
            hubs_max: 10_000,
            connect_timeout: Duration::from_secs(30),
            message_timeout: Duration::from_secs(30),
            message_bytes_max: 1 << 20,
            outbox: OutboxLimits::default(),
            session: SessionConfig::default(),
            link: LinkConfig::default(),
            waiting_bytes_max: 64 << 20,
            channels: ChannelsConfig::default(),
        }
    }
}
