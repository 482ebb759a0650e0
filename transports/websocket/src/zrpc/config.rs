//! How zrpc's sessions behave.

use std::{sync::Arc, time::Duration};

use headwater_proto::zrpc::{Ending, ROOT};

/// How zrpc's sessions behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZrpcConfig {
    /// How the end of a call is told where frames have no call ids. Default: by a close frame, as zrpc does since March
    /// 2016.
    pub ending: Ending,
    /// What becomes of a client's text messages. Default: they are refused.
    pub text: TextFrames,
    /// The handler of names without a dot, as the first part of their path: `echo` is `/zrpc/echo`. Default: [`ROOT`].
    pub root: Arc<str>,
    /// The most calls that are open on one socket, and the most handlers that run for it, for these go on after their clients
    /// have cancelled; one more ends with `RESOURCE_EXHAUSTED`. Default: 1000.
    pub calls_max: usize,
    /// After how long without a word of the client, no pong either, its socket counts as lost. It takes the place of
    /// [`ping_timeout`](crate::WebSocketServerConfig::ping_timeout), and is longer, because simple clients answer a ping
    /// only when they read the next reply. Default: 60 s.
    pub silence_max: Duration,
}

impl Default for ZrpcConfig {
    fn default() -> Self {
        Self {
            ending: Ending::default(),
            text: TextFrames::default(),
            root: ROOT.into(),
            calls_max: 1000,
            silence_max: Duration::from_secs(60),
        }
    }
}

/// What becomes of a client's text messages, which mean nothing in zrpc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TextFrames {
    /// Each is answered as a call that fails with `INVALID_ARGUMENT`; with call ids, it ends the socket.
    #[default]
    Refuse,
    /// Nothing, as in the original.
    Ignore,
}
