//! One push channel: its messages, the groups that consume them, and their consumers (`headwater/push_channel.proto`).
//!
//! A message has its place in the channel, its *offset*, from 1. It goes to one consumer of each group, first in, first
//! out, and counts as *taken* by the group once that consumer is done with it. Until then it goes to another one if its
//! consumer goes away, marked as redelivered: at least once. What every group has taken, and history does not keep, is
//! dropped.
//!
//! - **Groups.** The one without a name begins with the channel, and messages wait for its first consumer. A named one
//!   begins with its first consumer. Both last as long as the channel ([`Queue::is_idle`] says when that may end). A fan-out
//!   consumer is a group by itself and ends with it. In a channel of [`Mode::Fanout`] the group without a name is like a
//!   named one: it begins with the first consumer that asks for [`Mode::Shared`].
//! - **Storage.** A message is stored first ([`Output::Persist`]), and then pushed and confirmed. A driver that keeps messages
//!   in memory only answers at once, and does nothing at [`Output::PersistTaken`]. One whose storage fails ends the channel.
//! - **Taking.** A consumer of [`Taking::Acknowledged`] says what it has taken. One of [`Taking::Written`] takes a message by
//!   having it written to its connection; for a time the message is *in doubt*, and goes to another one should the
//!   connection be lost ([`Left::Broken`]). A consumer is pushed no more than its window holds.
//! - **Order.** What is pushed again goes first, by offset, then what is new, by offset. Consumers with room share alike, in
//!   turn.
//! - **Slow consumers.** One of [`Taking::Written`] that takes nothing for a while is ended. One of
//!   [`Taking::Acknowledged`] stays; its messages go to the group again. A fan-out consumer that is further behind
//!   than the channel may hold is ended with `RESOURCE_EXHAUSTED` ([`Output::End`]): it would have missed messages, and learns
//!   so; and it never makes the channel full for others.
//! - **Expiry.** An expired message is pushed to nobody and leaves history. One in a consumer's hands may still be taken.
//! - **Answers.** What a consumer says of a message that is not its to answer for is ignored ([`Input::Taken`]).
//!
//! ```
//! use headwater_core::{Time, queue::*};
//!
//! let now = Time::ZERO;
//! let mut queue = Queue::new(QueueConfig::default());
//! let offset = queue.submit("hello".into(), None, now)?;
//! let consumer = queue.subscribe(NewConsumer::default(), now)?;
//! let mut delivered = Vec::new();
//! while let Some(output) = queue.poll_output() {
//!     match output {
//!         // Nothing is stored here, so that is done already.
//!         Output::Persist { offset, .. } => queue.handle(Input::Persisted { through: offset }, now),
//!         Output::PersistTaken { .. } => {}
//!         Output::Confirm { through } => assert_eq!(through, offset),
//!         Output::Deliver { to, message, .. } => {
//!             delivered.push(message);
//!             queue.handle(Input::Written { consumer: to, messages: 1 }, now);
//!         }
//!         Output::End { .. } => unreachable!("nobody is slow here"),
//!     }
//! }
//! assert_eq!(delivered, ["hello"]);
//! queue.handle(Input::Left { consumer, how: Left::Cancelled }, now);
//! assert_eq!(queue.counters().taken, 1);
//! # Ok::<(), Refusal>(())
//! ```

/// The header of the calls that push, which names the epoch of the channel: another one for each time that a channel begins
/// from offset 1.
pub const EPOCH: &str = "headwater-channel-epoch";

mod config;
mod consumer;
mod delivery;
mod group;
mod ledger;
mod limits;
mod log;
mod machine;
mod members;
mod name;
mod parts;
#[cfg(test)]
mod tests;

pub use config::{Full, Mode, QueueConfig};
pub use machine::Queue;
pub use name::{Name, NameTooLong};
pub use parts::{
    ConsumerKey, Counters, Input, Kept, Left, NewConsumer, Output, Page, Refusal, Taking,
};
