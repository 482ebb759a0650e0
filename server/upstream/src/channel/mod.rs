//! Push channels: producers submit messages to a channel by its name, and consumers of that name have them pushed.
//!
//! A channel begins with the first call that names it, from either side, and is first in, first out. Each message goes to
//! exactly one of the consumers that share a group ([`ConsumerOptions::group`]); a consumer with
//! [`ConsumerMode::Fanout`] has every message. A [`ChannelClient`] holds the connection and makes both:
//!
//! ```no_run
//! use headwater_upstream::channel::{ChannelClient, ChannelConfig, ConsumerOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = ChannelClient::new(ChannelConfig {
//!     connection_string: Some("Endpoint=http://127.0.0.1:8080;AccessKey=…;Version=1.0;".parse()?),
//!     ..ChannelConfig::default()
//! })?;
//! client.producer("site-7").submit("open the door").await?;
//!
//! let mut consumer = client.consumer("site-7", ConsumerOptions::default());
//! loop {
//!     let message = consumer.recv().await?;
//!     println!("{}", message.message);
//!     message.take().await;
//! }
//! # }
//! ```
//!
//! # At least once
//!
//! A message is the consumer's once it is taken ([`Received::take`]). What was not taken goes to a consumer of the group
//! again, marked as [`Received::redelivered`]: at once, if the message or the consumer is dropped or its connection is
//! lost. So a message can come twice, and is not lost by forgetting. A fan-out consumer is a group that ends with its
//! connection, so what it had received and not taken does not come again.
//!
//! # When the connection is lost
//!
//! Both sides try again by themselves, after waits that grow and vary ([`ChannelConfig::back_off`]): a consumer until it is
//! dropped, a submission until [`ChannelConfig::submit_timeout`], and only where it cannot become two messages.

mod client;
mod config;
mod consumer;
mod message;
mod produce_call;
mod producer;
mod producing;

pub use client::ChannelClient;
pub use config::ChannelConfig;
pub use consumer::{Consumer, ConsumerMode, ConsumerOptions};
pub use message::{Chat, History, HistoryEntry, Received, Submission};
pub use producer::{Producer, SubmitError};
