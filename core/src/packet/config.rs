//! What an endpoint is bounded by.

use crate::call::Credit;

/// What each direction of a call may send before it was granted more. The same at every peer that knows the extension.
pub const INITIAL_WINDOW: Credit = Credit {
    messages: 256,
    bytes: 64 << 10,
};

/// Which side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It sends the request.
    Client,
    /// It answers.
    Server,
}

/// The bounds of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// The one role that it has; `None`: both, on the same channels. Default: both.
    pub role: Option<Role>,
    /// The id of the first call that it makes; 1 to 2²¹ − 1. A client that starts anew on a channel whose server does not
    /// notice does well to begin elsewhere. Default: 1.
    pub first_call_id: u32,
    /// How many calls of the peer may run at once; one more is refused with `RESOURCE_EXHAUSTED`. Default: 1024.
    pub calls_max: usize,
    /// How many calls of the peer of one method may run at once, whatever the method says itself
    /// ([`super::Method::calls_max`]); one more is refused with `RESOURCE_EXHAUSTED`. Default: as many as of all.
    pub method_calls_max: usize,
    /// How many channels there may be. Default: 16.
    pub channels_max: usize,
    /// Whether a packet of a channel that is not there is answered with `UNAVAILABLE`, and `RESOURCE_EXHAUSTED` if there
    /// are too many. Not where what carries the packets cannot tell whom they came from. Default: yes.
    pub answers_unknown_channels: bool,
    /// What may wait in a call to be sent; beyond it [`super::SendError::Blocked`]. It may be exceeded by one message.
    /// Default: 256 messages, 256 KiB.
    pub send_queue: Credit,
    /// What of a call may be received and not [consumed](super::Endpoint::consumed). A peer that knows of credit keeps to
    /// it; of one that does not, the call ends with `RESOURCE_EXHAUSTED`. It may be exceeded by one message, and is at
    /// least [`INITIAL_WINDOW`]. Default: 1024 messages, 256 KiB.
    pub receive_window: Credit,
    /// How large the metadata of a packet may be, encoded, and as they are held ([`headwater_proto::Metadata::size`]). A call with more ends with `RESOURCE_EXHAUSTED`; at its end they
    /// are left out. Default: 16 KiB.
    pub metadata_bytes_max: usize,
    /// How many answers to packets that belong to no call may wait; further ones are not given. Default: 1024.
    pub replies_max: usize,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            role: None,
            first_call_id: 1,
            calls_max: 1024,
            method_calls_max: usize::MAX,
            channels_max: 16,
            answers_unknown_channels: true,
            send_queue: Credit {
                messages: 256,
                bytes: 256 << 10,
            },
            receive_window: Credit {
                messages: 1024,
                bytes: 256 << 10,
            },
            metadata_bytes_max: 16 << 10,
            replies_max: 1024,
        }
    }
}

/// How a channel speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelConfig {
    /// What is done about the extension. Default: announced.
    pub extension: ExtensionUse,
    /// No packet is larger; a message that needs one is refused with [`super::SendError::TooLarge`]. Up to 48 bytes of a
    /// packet are not message, and metadata are not counted. Default: without bound.
    pub packet_bytes_max: usize,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            extension: ExtensionUse::default(),
            packet_bytes_max: usize::MAX,
        }
    }
}

/// What is done about the extension of a channel's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ExtensionUse {
    /// Nothing: pure pw_rpc. What the peer says in an extension is not heard.
    Never,
    /// It is sent where a peer that does not know it skips it, until the peer is known.
    #[default]
    Announce,
    /// Both sides know it: that was agreed on before, as by the name of a WebSocket subprotocol.
    Agreed,
}

/// What is known of the peer on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// Nothing yet.
    Unknown,
    /// It speaks pw_rpc without the extension: there are no metadata, no messages of statuses, no time limits, no
    /// compression and no credit.
    Plain,
    /// It knows the extension.
    Extended,
}
