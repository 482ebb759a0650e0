//! What a channel is bounded by.

use core::time::Duration;

/// How a consumer joins that names neither group nor mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// It shares the group without a name, which begins with the channel: messages wait for its first consumer.
    #[default]
    Shared,
    /// It is a group by itself. Nothing waits for the group without a name, unless a consumer asks for it.
    Fanout,
}

/// What a full channel does with one more message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Full {
    /// Refuses it: [`Refusal::Full`](super::Refusal::Full). Nothing else is disturbed.
    #[default]
    Refuse,
    /// Drops the oldest that wait, pushed or not, and counts them.
    DropOldest,
}

/// The bounds of a [`super::Queue`].
///
/// A channel holds at most three times `messages_max` and `bytes_max`, and the history: what waits for groups that last,
/// what only fan-out consumers have not taken yet, and what is in doubt. What comes back from doubt may wait beyond the
/// bounds; then no more is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// How consumers join that name neither group nor mode. Default: [`Mode::Shared`].
    pub mode: Mode,
    /// Messages that may wait to be taken. Default: 100,000.
    pub messages_max: usize,
    /// Bytes of messages that may wait to be taken. Default: 64 MiB.
    pub bytes_max: usize,
    /// The largest message, in bytes; one that is larger than `bytes_max` is refused in any case. Default: 4 MiB.
    pub message_bytes_max: usize,
    /// What happens past the bounds. Default: [`Full::Refuse`].
    pub full: Full,
    /// How long a message that does not say it itself may wait to be taken, and stays in history. Default: 24 h.
    pub expires_after: Duration,
    /// The latest messages are kept, taken or not: so many. 0: none. Default: 1000.
    pub history_messages_max: usize,
    /// And at most so many bytes of them. Default: 4 MiB.
    pub history_bytes_max: usize,
    /// Groups that last: the named ones, and the one without a name if it is there. Default: 64.
    pub groups_max: usize,
    /// Consumers at one time. Default: 65,536.
    pub consumers_max: usize,
    /// Messages that a consumer may have been pushed and not dealt with (see [`super::Input::Written`] and
    /// [`super::Input::Taken`]), if it does not say it itself; 0 is 1. Default: 64.
    pub window_messages: u32,
    /// The most that a consumer may ask for; more is cut down to this. Default: 10,000.
    pub window_messages_max: u32,
    /// Bytes of them; the last message may pass it, so 0 is one message. Default: 1 MiB.
    pub window_bytes: usize,
    /// How long a message that was written to a plain consumer is in doubt; 1 ms at least. Default: 30 s.
    pub in_doubt_timeout: Duration,
    /// Messages of one consumer that may be in doubt; past it the oldest are taken. Fewer than the buffers on the way to a
    /// consumer hold, and those that a broken connection swallows are lost. Default: 65,536.
    pub in_doubt_messages_max: usize,
    /// Bytes of them. Default: 16 MiB, which is more than those buffers hold: usually 4 MiB of a window of HTTP/2, and what
    /// the sockets of both ends have.
    pub in_doubt_bytes_max: usize,
    /// A plain consumer that has something to be written and takes none of it for so long is ended; 1 ms at least.
    /// Default: 30 s.
    pub stall_timeout: Duration,
    /// How long an acknowledging consumer may hold a message; then it goes to the group again, marked, and the consumer
    /// stays (the visibility timeout of SQS, `ack_wait` of JetStream). It runs for each message from the moment that it was
    /// pushed, so a window must not be more than is dealt with in this time. 1 ms at least. Default: 5 min.
    pub ack_timeout: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Shared,
            messages_max: 100_000,
            bytes_max: 64 << 20,
            message_bytes_max: 4 << 20,
            full: Full::Refuse,
            expires_after: Duration::from_secs(24 * 60 * 60),
            history_messages_max: 1000,
            history_bytes_max: 4 << 20,
            groups_max: 64,
            consumers_max: 1 << 16,
            window_messages: 64,
            window_messages_max: 10_000,
            window_bytes: 1 << 20,
            in_doubt_timeout: Duration::from_secs(30),
            in_doubt_messages_max: 1 << 16,
            in_doubt_bytes_max: 16 << 20,
            stall_timeout: Duration::from_secs(30),
            ack_timeout: Duration::from_secs(5 * 60),
        }
    }
}
