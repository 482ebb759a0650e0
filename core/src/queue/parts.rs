//! What goes into a queue and what comes out of it.

use alloc::{format, vec::Vec};
use core::ops::RangeInclusive;

use bytes::Bytes;
use headwater_proto::{Code, Status};

use super::{Mode, Name};
use crate::Time;

/// One consumer of one channel. Never used twice by the same queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerKey(pub(super) u64);

/// One that wants to consume.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewConsumer {
    /// The group that it names; empty is none. Not with [`Mode::Fanout`].
    pub group: Name,
    /// The mode that it names. `None`: [`Mode::Shared`] if it names a group, otherwise as the channel is configured.
    pub mode: Option<Mode>,
    /// For a group that begins, a fan-out consumer included: from where in the channel, of what is kept of it. 0, and
    /// anything that has not come yet: what comes from now on. Not looked at if the group is there.
    pub from_offset: u64,
    /// When a message counts as taken.
    pub taking: Taking,
}

/// When a message counts as taken by a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Taking {
    /// `PushMessageStream`: once it was written and is no more in doubt.
    #[default]
    Written,
    /// `Consume`: once the consumer says so.
    Acknowledged {
        /// How many messages it may hold; 0 is the default of the channel.
        window: u32,
    },
}

/// What happened to a channel. One about a consumer that has ended is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// All messages up to this offset are stored. The answer to [`Output::Persist`]; one answers all before it.
    Persisted {
        /// The offset.
        through: u64,
    },
    /// The connection of a [`Taking::Written`] consumer has taken this many more of the messages, the oldest first.
    Written {
        /// Whose.
        consumer: ConsumerKey,
        /// How many.
        messages: u32,
    },
    /// A [`Taking::Acknowledged`] consumer is done with messages. Of those, the ones count that it holds, and the ones that
    /// wait to be pushed to its group again: a late answer still saves a duplicate.
    Taken {
        /// Who.
        consumer: ConsumerKey,
        /// Their offsets; a range that ends before it begins is empty.
        ranges: Vec<RangeInclusive<u64>>,
    },
    /// A [`Taking::Acknowledged`] consumer gives messages back that it holds: they go to a consumer of its group again.
    Returned {
        /// Who.
        consumer: ConsumerKey,
        /// Their offsets.
        ranges: Vec<RangeInclusive<u64>>,
    },
    /// A consumer has gone.
    Left {
        /// Who.
        consumer: ConsumerKey,
        /// How.
        how: Left,
    },
    /// The time of [`Queue::poll_timeout`](super::Queue::poll_timeout) may have come.
    Timeout,
}

/// How a consumer left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Left {
    /// Its connection was lost: it may not have what was written to it, and that goes to the next one.
    Broken,
    /// It ended its call over a connection that works: it has what was written to it.
    Cancelled,
}

/// What to do, in this order.
///
/// A consumer that the driver reported gone may be named once more by what came before: to be ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Store this message; the answer is [`Input::Persisted`]. Until then nobody is pushed it.
    Persist {
        /// Its place in the channel: one more than that of the message before.
        offset: u64,
        /// The message.
        message: Bytes,
        /// When it expires.
        expires_at: Time,
    },
    /// Store that a group that lasts is done with these messages, now or later; no answer is wanted. Comes not for messages
    /// that expire, and may come twice.
    PersistTaken {
        /// The name of the group; empty is the one without a name.
        group: Name,
        /// Their offsets.
        offsets: RangeInclusive<u64>,
    },
    /// Tell the producers of all messages up to this offset that the channel has them.
    Confirm {
        /// The offset.
        through: u64,
    },
    /// Push a message to a consumer. Those of one consumer come together, as far as one turn brings several.
    Deliver {
        /// To whom.
        to: ConsumerKey,
        /// Its place in the channel.
        offset: u64,
        /// The message, shared by all who are pushed it.
        message: Bytes,
        /// Whether it was pushed to somebody of the group before.
        redelivered: bool,
    },
    /// End the call of a consumer, which has left.
    End {
        /// Whose.
        consumer: ConsumerKey,
        /// How: `RESOURCE_EXHAUSTED`, it reads too slowly.
        status: Status,
    },
}

/// Why something that a client asked for is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The channel is full; the message is not in it.
    #[error("the channel is full")]
    Full,
    /// The message is larger than this many bytes.
    #[error("a message has at most {0} bytes")]
    TooLarge(usize),
    /// This many groups are there.
    #[error("the channel has its {0} groups")]
    TooManyGroups(usize),
    /// This many consumers are there.
    #[error("the channel has its {0} consumers")]
    TooManyConsumers(usize),
    /// A fan-out consumer is a group by itself, and yet named one.
    #[error("a fan-out consumer has no group")]
    GroupOfFanout,
}

impl From<Refusal> for Status {
    /// `INVALID_ARGUMENT` for what never can be done, `RESOURCE_EXHAUSTED` for what may be later.
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Full | Refusal::TooManyGroups(_) | Refusal::TooManyConsumers(_) => {
                Code::ResourceExhausted
            }
            Refusal::TooLarge(_) | Refusal::GroupOfFanout => Code::InvalidArgument,
        };
        Self::new(code, format!("{refusal}"))
    }
}

/// A page of what is kept of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In the order of the channel.
    pub messages: Vec<Kept>,
    /// Where the next page begins; 0 when there is no more.
    pub next_offset: u64,
}

/// A message of a [`Page`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its place in the channel.
    pub offset: u64,
    /// The message.
    pub message: Bytes,
}

/// What a channel has done, and what there is. A message counts once for each group where it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages that the channel has had.
    pub submitted: u64,
    /// Messages that were refused: too large, or the channel was full.
    pub refused: u64,
    /// Pushes, redeliveries included.
    pub delivered: u64,
    /// Pushes of what was pushed in the group before.
    pub redelivered: u64,
    /// Messages that were taken, for each group.
    pub taken: u64,
    /// Messages that expired, for each group that had not taken them and of whose consumers none held them.
    pub expired: u64,
    /// Messages that [`Full::DropOldest`](super::Full::DropOldest) dropped, for each group that had not taken them.
    pub dropped: u64,
    /// Messages that fan-out consumers had not taken when they left.
    pub left_behind: u64,
    /// Consumers that were ended because they read too slowly.
    pub too_slow: u64,
    /// Messages that wait now for a group that lasts; those in a consumer's hands included, those in doubt not.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// Consumers that are there now.
    pub consumers: usize,
    /// Groups that are there now, fan-out consumers included.
    pub groups: usize,
}
