//! The options of push channels.

use std::time::Duration;

use clap::Args;
use headwater::ChannelsConfig;
use headwater_core::queue::QueueConfig;

use super::run::seconds;

/// What `serve` is told of push channels.
#[derive(Debug, Args)]
#[command(next_help_heading = "Push channels")]
pub(super) struct ChannelOptions {
    /// Takes calls of push channels without a token, as the first clients of the push channel make them: whoever reaches
    /// --listen-upstream may submit to every channel and consume it.
    #[arg(long)]
    allow_anonymous_channels: bool,
    /// A channel where every consumer has every message, unless it asks for something else; repeatable. In all others one
    /// consumer has each message. The name may be empty.
    #[arg(long = "fanout-channel", value_name = "NAME")]
    fanout_channels: Vec<String>,
    /// How many messages may wait in a channel; the producer of one more is refused.
    #[arg(long, default_value_t = QueueConfig::default().messages_max, value_name = "COUNT")]
    channel_messages_max: usize,
    /// How many bytes of messages may wait in a channel.
    #[arg(long, default_value_t = QueueConfig::default().bytes_max, value_name = "BYTES")]
    channel_bytes_max: usize,
    /// How long a message may wait in a channel, unless it says so itself, and stays in its history.
    #[arg(long, default_value = "86400", value_parser = seconds, value_name = "SECONDS")]
    channel_expiry: Duration,
}

impl ChannelOptions {
    pub(super) fn config(&self) -> ChannelsConfig {
        let default = ChannelsConfig::default();
        ChannelsConfig {
            allow_anonymous: self.allow_anonymous_channels,
            fanout: self.fanout_channels.iter().cloned().collect(),
            queue: QueueConfig {
                messages_max: self.channel_messages_max,
                bytes_max: self.channel_bytes_max,
                expires_after: self.channel_expiry,
                ..default.queue
            },
            ..default
        }
    }

    /// Says where messages are, and who may have them.
    pub(super) fn introduce(&self) {
        let whom = if self.allow_anonymous_channels {
            "open to everybody without a token"
        } else {
            "open to applications with a token"
        };
        println!("push channels: in memory, lost when the service ends; {whom}");
    }
}
