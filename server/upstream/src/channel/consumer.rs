//! The side that messages are pushed to.

use std::{collections::VecDeque, fmt, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, stream};
use headwater_core::{Waits, queue::EPOCH};
use headwater_proto::{Code, Metadata, Status, push_channel};
use headwater_rpc::{CallError, CallOptions, Receiver, Sender};
use prost::Message as _;
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::{Received, client::Connection, message::encode};
use crate::wire::is_final;

const CONSUME: &str = "/MessageSync/Consume";

/// How long a service has to end the call of a consumer that leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// How a consumer shares a channel with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsumerMode {
    /// As the service has it for the channel: shared, unless it was told otherwise.
    #[default]
    Unspecified,
    /// One consumer of the group has each message.
    Shared,
    /// This consumer has every message that comes while it is there. It is a group by itself, which ends with its
    /// connection: connected again, it goes on behind what it received, taken or not. If the channel has begun anew
    /// meanwhile, such as with another service, that is from the oldest message that is kept.
    Fanout,
}

/// What a consumer asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerOptions {
    /// The group that it belongs to, of 256 bytes at most. Default: the one without a name, which begins with the channel,
    /// so that messages wait for its first consumer.
    pub group: String,
    /// How it shares the channel. Default: as the service has it.
    pub mode: ConsumerMode,
    /// For a group that begins with this consumer: from where in the channel, of what is kept of it; 0 is what comes from
    /// now on. Default: 0.
    pub from_offset: u64,
    /// How many messages may be here and not taken. Default: 0, which is 64.
    pub window: u32,
}

/// Has the messages of one channel pushed to it.
///
/// It does its work while it is in [`Consumer::recv`], with no task of its own. Dropping it leaves the channel, and what was
/// not taken goes to the next consumer; so see to the messages first. What was taken just before may come again:
/// [`Consumer::leave`] makes sure of that.
pub struct Consumer {
    connection: Arc<Connection>,
    channel: String,
    options: ConsumerOptions,
    waits: Waits,
    /// Not before this moment.
    retry_at: Option<Instant>,
    call: Option<Call>,
    /// Where a fan-out consumer goes on when it comes back; for others, the epoch only.
    last: Place,
}

/// The last message that was received.
#[derive(Debug, Clone, Default)]
struct Place {
    /// 0: there is none yet.
    offset: u64,
    /// Of the channel that counts so.
    epoch: Arc<str>,
}

struct Call {
    opened: Instant,
    sender: Sender,
    receiver: Receiver,
    batch: Vec<Bytes>,
    received: VecDeque<push_channel::MessageReply>,
    /// Once its headers are there; empty if the service does not name it.
    epoch: Option<Arc<str>>,
    /// The highest that it gave.
    last_offset: u64,
}

impl Drop for Call {
    fn drop(&mut self) {
        // Messages that somebody holds must not keep it open.
        self.sender.cancel();
    }
}

impl Consumer {
    pub(super) fn new(
        connection: Arc<Connection>,
        channel: String,
        options: ConsumerOptions,
    ) -> Self {
        Self {
            waits: connection.waits(),
            connection,
            channel,
            options,
            retry_at: None,
            call: None,
            last: Place::default(),
        }
    }

    /// The channel's name.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// The next message. Waits for one as long as it takes, and connects again whenever the connection is lost or the
    /// service leaves; after that, messages that were not taken come again, marked.
    ///
    /// # Errors
    ///
    /// The service refuses the consumer in a way that trying again does not heal: `UNAUTHENTICATED`,
    /// `PERMISSION_DENIED`, `INVALID_ARGUMENT` or `UNIMPLEMENTED`. Called again, it tries again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Result<Received, Status> {
        loop {
            if let Some(at) = self.retry_at {
                sleep_until(at).await;
                self.retry_at = None;
            }
            let call = match &mut self.call {
                Some(call) => call,
                None => match self.open().await {
                    Ok(call) => self.call.insert(call),
                    Err(status) => {
                        self.failed(status)?;
                        continue;
                    }
                },
            };
            match call.next().await {
                Ok(reply) => {
                    self.waits.reset();
                    call.last_offset = call.last_offset.max(reply.offset);
                    // Not the highest ever: another service counts anew.
                    self.last = Place {
                        offset: call.last_offset,
                        epoch: call.epoch.clone().unwrap_or_default(),
                    };
                    return Ok(Received::new(reply, call.sender.clone()));
                }
                Err(status) => {
                    // One that was quiet for so long was well.
                    if call.opened.elapsed() > self.connection.config.back_off.max {
                        self.waits.reset();
                    }
                    self.call = None;
                    self.failed(status)?;
                }
            }
        }
    }

    /// Leaves the channel once the service has heard what was taken; the rest goes to the next consumer. It waits for that
    /// for a second at most.
    ///
    /// # Cancel safety
    ///
    /// As dropping the consumer.
    pub async fn leave(mut self) {
        let Some(call) = &mut self.call else {
            return;
        };
        // An ended call has nothing to hear.
        let _ = call.sender.finish(Ok(()), Metadata::new());
        let end = async {
            // What comes until then is the next one's.
            while matches!(call.receiver.next_batch(&mut call.batch).await, Ok(1..)) {
                call.batch.clear();
            }
        };
        // Too late is as good as dropped.
        let _ = timeout(LEAVE_TIMEOUT, end).await;
    }

    /// The messages as a stream, which goes on after an error as [`Consumer::recv`] does, and never ends.
    pub fn into_stream(self) -> impl Stream<Item = Result<Received, Status>> + Send {
        stream::unfold(self, |mut consumer| async move {
            let received = consumer.recv().await;
            Some((received, consumer))
        })
    }

    async fn open(&self) -> Result<Call, Status> {
        let metadata = self.connection.metadata(&self.channel)?;
        let options = CallOptions {
            wait_for_ready: Some(true),
            ..CallOptions::default()
        };
        let client = &self.connection.client;
        let opened = client.call(CONSUME, metadata, options).await;
        let (sender, receiver) = opened.map_err(Status::from)?;
        let call = Call {
            opened: Instant::now(),
            sender,
            receiver,
            batch: Vec::new(),
            received: VecDeque::new(),
            epoch: None,
            last_offset: 0,
        };
        let open = push_channel::consume_request::Request::Open(request(
            &self.channel,
            &self.options,
            &self.last,
        ));
        // An ended call tells why where it is read.
        let _ = call.sender.try_send(encode(open));
        Ok(call)
    }

    /// Sees to it that it is tried again, unless that is in vain.
    fn failed(&mut self, status: Status) -> Result<(), Status> {
        let wait = self.waits.next_wait();
        self.retry_at = Some(Instant::now() + wait);
        if is_final(&status) {
            return Err(status);
        }
        tracing::warn!(channel = self.channel, %status, ?wait, "no consumer: connecting again");
        Ok(())
    }
}

/// What a consumer that has received so much asks for.
fn request(channel: &str, options: &ConsumerOptions, last: &Place) -> push_channel::ConnRequest {
    let (mode, may_be_fanout) = match options.mode {
        // A group with a name is never one consumer's own.
        ConsumerMode::Unspecified => (push_channel::Mode::Unspecified, options.group.is_empty()),
        ConsumerMode::Shared => (push_channel::Mode::Shared, false),
        ConsumerMode::Fanout => (push_channel::Mode::Fanout, true),
    };
    // Where a group that is shared stands, nobody in it can tell: others may still hold what came before.
    let from_offset = match last.offset {
        last @ 1.. if may_be_fanout => last.saturating_add(1),
        _ => options.from_offset,
    };
    push_channel::ConnRequest {
        channel: channel.into(),
        group: options.group.clone(),
        mode: mode.into(),
        from_offset,
        window: options.window,
        epoch: String::from(&*last.epoch),
    }
}

impl Call {
    /// The next message, or why there is none.
    async fn next(&mut self) -> Result<push_channel::MessageReply, Status> {
        loop {
            if let Some(reply) = self.received.pop_front() {
                return Ok(reply);
            }
            if self.epoch.is_none() {
                // Without headers the call has ended, and tells why below.
                let headers = self.receiver.headers().await.unwrap_or_default();
                self.epoch = Some(headers.text(EPOCH).unwrap_or_default().into());
            }
            let ended = || Status::new(Code::Unavailable, "the service ended the consumer");
            match self.receiver.next_batch(&mut self.batch).await {
                Ok(0) => return Err(ended()),
                Ok(_) => {}
                Err(CallError { status, .. }) => return Err(status),
            }
            for message in self.batch.drain(..) {
                let reply = push_channel::MessageReply::decode(message);
                let unreadable = |error: prost::DecodeError| {
                    // Not the service's word on what it was sent, so worth another attempt.
                    Status::new(Code::Unavailable, error.to_string())
                };
                self.received.push_back(reply.map_err(unreadable)?);
            }
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("channel", &self.channel)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S3-10: only who has a group alone knows where it stands.
    #[test]
    fn s3_10_only_a_fan_out_consumer_goes_on_behind_what_it_received() {
        let last = Place {
            offset: 7,
            epoch: "e".into(),
        };
        for (mode, group, expected) in [
            (ConsumerMode::Fanout, "", 8),
            (ConsumerMode::Unspecified, "", 8),
            (ConsumerMode::Unspecified, "g", 2),
            (ConsumerMode::Shared, "", 2),
            (ConsumerMode::Shared, "g", 2),
        ] {
            let options = ConsumerOptions {
                group: group.into(),
                mode,
                from_offset: 2,
                window: 0,
            };
            let first = request("c", &options, &Place::default());
            assert_eq!(first.from_offset, 2, "{mode:?} {group:?}");
            let again = request("c", &options, &last);
            assert_eq!(again.from_offset, expected, "{mode:?} {group:?}");
            assert_eq!(
                again.epoch, "e",
                "a channel that begins anew gives all of it"
            );
        }
    }
}
