//! `Produce`: many messages on one call.

use std::{collections::BTreeSet, time::Duration};

use headwater::{ChannelsConfig, auth::channel_token};
use headwater_proto::push_channel::{ProduceReply, SubmitRequest, produce_reply::Result as Answer};
use headwater_rpc::{
    CallOptions, Client as RpcClient, Code, Metadata, SendError, Sender, Status,
    stub::{Messages, ProstCodec},
};
use prost::Message as _;

use super::*;
use crate::support::*;

/// A producer by hand. Dropping it cancels its call.
pub(super) struct Producer {
    pub(super) sender: Sender,
    replies: Messages<ProduceReply>,
}

impl Producer {
    /// Once the service has let it in.
    async fn open(client: &RpcClient) -> Self {
        let mut producer = Self::try_open(client, Metadata::new()).await;
        let headers = soon("the headers", producer.replies.headers()).await;
        assert!(headers.is_some(), "{:?}", producer.replies.ended());
        producer
    }

    pub(super) async fn try_open(client: &RpcClient, metadata: Metadata) -> Self {
        let call = client.call("/MessageSync/Produce", metadata, CallOptions::default());
        let (sender, receiver) = soon("the call", call).await.expect("a call");
        let replies = Messages::new::<ProstCodec>(receiver);
        Self { sender, replies }
    }

    pub(super) fn say(&self, request: &SubmitRequest) {
        let sent = self.sender.try_send(request.encode_to_vec().into());
        sent.expect("room");
    }

    fn submit(&self, channel: &str, text: &str) {
        self.say(&submission(channel, text));
    }

    /// What became of the next message: its place, or the code that it was refused with. An error is the end of the call.
    pub(super) async fn answer(&mut self) -> Result<Result<u64, Code>, Code> {
        let reply = soon("a reply", self.replies.message()).await;
        match reply.map_err(|status| status.code)? {
            Some(reply) => Ok(match reply.result.expect("a result") {
                Answer::Offset(offset) => Ok(offset),
                Answer::Refused(refusal) => {
                    Err(Code::from_number(refusal.code.into()).expect("a code"))
                }
            }),
            // As the helper of consumers tells a good end.
            None => Err(Code::Unknown),
        }
    }

    async fn answers(&mut self, count: usize) -> Vec<Result<u64, Code>> {
        let mut answers = Vec::new();
        for _ in 0..count {
            answers.push(self.answer().await.expect("the call goes on"));
        }
        answers
    }

    /// With what it ends, the replies before it thrown away.
    async fn end(&mut self) -> Code {
        loop {
            if let Err(code) = self.answer().await {
                return code;
            }
        }
    }
}

fn submission(channel: &str, text: &str) -> SubmitRequest {
    SubmitRequest {
        channel: channel.into(),
        message: text.into(),
        ..SubmitRequest::default()
    }
}

/// S3-01, S3-08, S3-12: what one stream brings goes to the channels that it names, in order, and is answered in order; one
/// message that is refused disturbs no other.
#[tokio::test]
async fn s3_12_messages_of_a_stream_keep_their_order_and_a_refused_one_ends_nothing() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        let mut producer = Producer::open(&client).await;
        for (channel, text) in [
            ("left", "l1"),
            ("left", "l2"),
            (&*"n".repeat(300), "lost"),
            ("right", "r1"),
            ("left", "l3"),
        ] {
            producer.submit(channel, text);
        }
        let expected = [Ok(1), Ok(2), Err(Code::InvalidArgument), Ok(1), Ok(3)];
        assert_eq!(producer.answers(5).await, expected, "{url}");
        let mut left = Consumer::push(&client, channel("left")).await;
        let mut right = Consumer::push(&client, channel("right")).await;
        assert_eq!(left.texts(3).await, ["l1", "l2", "l3"], "{url}");
        assert_eq!(right.text().await, "r1", "{url}");
        producer.submit("left", "l4");
        assert_eq!(left.text().await, "l4", "{url}: pushed at once");
        let finished = producer.sender.finish(Ok(()), Metadata::new());
        finished.expect("it is open");
        assert_eq!(producer.answers(1).await, [Ok(4)], "{url}");
        assert_eq!(producer.end().await, Code::Unknown, "{url}: a good end");
    }
}

/// S3-12: more than one turn has.
#[tokio::test]
async fn s3_12_10000_messages_of_one_stream_keep_their_order() {
    const MESSAGES: usize = 10_000;
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        let mut consumer = Consumer::push(&site.client(), channel("c")).await;
        let mut producer = Producer::open(&client).await;
        let sender = producer.sender.clone();
        let sending = tokio::spawn(async move {
            for number in 0..MESSAGES {
                let request = submission("c", &number.to_string());
                let sent = sender.send(request.encode_to_vec().into()).await;
                sent.expect("the call goes on");
            }
        });
        let offsets = producer.answers(MESSAGES).await;
        let expected: Vec<_> = (1..=MESSAGES as u64).map(Ok).collect();
        assert_eq!(offsets, expected, "{url}");
        sending.await.expect("no panic");
        let texts = consumer.texts(MESSAGES).await;
        let in_order = texts.into_iter().eq((0..MESSAGES).map(|it| it.to_string()));
        assert!(in_order, "{url}: first in, first out");
    }
}

/// S3-06: also where one turn of the channel has all of them.
#[tokio::test]
async fn s3_06_each_of_100_messages_of_a_stream_goes_to_exactly_one_of_two_consumers() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        let mut one = Consumer::push(&client, channel("c")).await;
        let mut other = Consumer::push(&site.client(), channel("c")).await;
        let mut producer = Producer::open(&client).await;
        for number in 0..100 {
            producer.submit("c", &number.to_string());
        }
        producer.answers(100).await;
        let one: BTreeSet<_> = one.texts(50).await.into_iter().collect();
        let other: BTreeSet<_> = other.texts(50).await.into_iter().collect();
        assert_eq!(one.union(&other).count(), 100, "{url}: nothing is lost");
        assert!(one.is_disjoint(&other), "{url}: nothing came twice");
    }
}

/// S3-19: a full channel refuses the message and not the stream, which has room again when the channel has.
#[tokio::test]
async fn s3_19_a_full_channel_refuses_messages_of_a_stream_one_by_one() {
    for url in upstream_urls() {
        let mut config = open();
        config.queue.messages_max = 2;
        let site = Site::at(&url, config).await;
        let client = site.client();
        let mut producer = Producer::open(&client).await;
        for (channel, text) in [
            ("c", "1"),
            ("c", "2"),
            ("c", "too many"),
            ("d", "elsewhere"),
        ] {
            producer.submit(channel, text);
        }
        let full = Err(Code::ResourceExhausted);
        assert_eq!(
            producer.answers(4).await,
            [Ok(1), Ok(2), full, Ok(1)],
            "{url}"
        );
        let mut consumer = Consumer::consume(&client, channel("c")).await;
        assert_eq!(consumer.texts(2).await, ["1", "2"], "{url}");
        consumer.take(1, 2);
        until("room", || site.waiting("c") == 0).await;
        producer.submit("c", "room again");
        assert_eq!(producer.answers(1).await, [Ok(3)], "{url}");
    }
}

/// S3-19: also those of one turn are counted, each by itself.
#[tokio::test]
async fn s3_19_what_comes_together_does_not_pass_the_bound_of_all_channels_together() {
    let config = ChannelsConfig {
        waiting_bytes_max: 1000,
        ..open()
    };
    let site = Site::start(config).await;
    let mut producer = Producer::open(&site.client()).await;
    let large = "x".repeat(400);
    for channel in ["c", "c", "c", "d"] {
        producer.submit(channel, &large);
    }
    let over = Err(Code::ResourceExhausted);
    assert_eq!(producer.answers(4).await, [Ok(1), Ok(2), over, over]);
}

/// S3-19: a message of a stream waits no longer than it says.
#[tokio::test]
async fn s3_19_a_message_of_a_stream_has_its_own_expiry() {
    let site = Site::start(open()).await;
    let mut producer = Producer::open(&site.client()).await;
    producer.say(&SubmitRequest {
        expires_after_ms: 5_000,
        ..submission("c", "brief")
    });
    producer.submit("c", "patient");
    assert_eq!(producer.answers(2).await, [Ok(1), Ok(2)]);
    pass(Duration::from_secs(6)).await;
    until("the brief one to expire", || site.waiting("c") == 1).await;
    let mut consumer = Consumer::push(&site.client(), channel("c")).await;
    assert_eq!(consumer.text().await, "patient");
}

/// What was answered is there, and of the rest the first ones without a gap; and the service goes on.
#[tokio::test]
async fn a_stream_that_breaks_leaves_what_was_answered() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let line = Line::to(&site).await;
        let far = line.as_ref().map_or(&*site.url, |line| &line.url);
        let far = site.client_at(far);
        let mut producer = Producer::open(&far).await;
        for number in 1..=3 {
            producer.submit("c", &number.to_string());
        }
        assert_eq!(producer.answers(3).await, [Ok(1), Ok(2), Ok(3)], "{url}");
        for number in 4..=100 {
            producer.submit("c", &number.to_string());
        }
        match &line {
            Some(line) => line.cut(),
            None => producer.sender.cancel(),
        }
        assert_ne!(producer.end().await, Code::Unknown, "{url}: no good end");
        let client = site.client();
        let next = submit(&client, "c", "after").await;
        assert!((4..=101).contains(&next), "{url}: {next}");
        let mut consumer = Consumer::push(&client, channel("c")).await;
        for number in 1..next {
            assert_eq!(consumer.text().await, number.to_string(), "{url}");
        }
        assert_eq!(consumer.text().await, "after", "{url}");
    }
}

/// Its messages are read only while its replies are: nothing grows without bound, and nobody else waits.
#[tokio::test]
async fn a_producer_that_never_reads_its_replies_is_held_back() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        // Every message is refused, so that the replies are large.
        let asleep = Producer::open(&site.client()).await;
        let request: bytes::Bytes = submission(&"n".repeat(300), "m").encode_to_vec().into();
        let mut sent = 0;
        loop {
            match asleep.sender.try_send(request.clone()) {
                Ok(()) => sent += 1,
                Err(SendError::Blocked) => tokio::select! {
                    biased;
                    () = asleep.sender.writable() => {}
                    // The service reads no more.
                    () = quiet() => break,
                },
                Err(error) => panic!("{url}: {error}"),
            }
            assert!(sent < 200_000, "{url}: it is not held back");
        }
        submit(&site.client(), "c", "unhindered").await;
    }
}

/// S3-20: the token has to be good for each channel that the stream names.
#[tokio::test]
async fn s3_20_a_token_is_looked_at_for_each_channel_of_a_stream() {
    for url in upstream_urls() {
        let site = Site::at(&url, ChannelsConfig::default()).await;
        let lifetime = Duration::from_secs(600);
        let token = channel_token(ENDPOINT, &key(), &["c", "d"], lifetime, unix_seconds());
        let metadata = bearer(&token.expect("a token"));
        let mut producer = Producer::try_open(&site.client(), metadata).await;
        for channel in ["c", "other", "d", "C", "c"] {
            producer.submit(channel, "m");
        }
        let denied = Err(Code::PermissionDenied);
        let expected = [Ok(1), denied, Ok(1), denied, Ok(2)];
        assert_eq!(producer.answers(5).await, expected, "{url}");
        let refused = site.service.channel_counters("other");
        assert_eq!(refused, None, "{url}: what is refused begins no channel");
    }
}

#[tokio::test]
async fn what_is_no_request_ends_its_stream_and_no_other() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        let mut other = Producer::open(&client).await;
        let mut producer = Producer::open(&client).await;
        let sent = producer.sender.try_send("\u{1}".into());
        sent.expect("room");
        assert_eq!(producer.end().await, Code::Internal, "{url}");
        other.submit("c", "m");
        assert_eq!(other.answers(1).await, [Ok(1)], "{url}");
    }
}

/// However little it says: a service that leaves waits for no producer.
#[tokio::test]
async fn a_service_that_leaves_ends_its_producers() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        let mut idle = Producer::open(&client).await;
        let mut producer = Producer::open(&client).await;
        producer.submit("c", "m");
        assert_eq!(producer.answers(1).await, [Ok(1)], "{url}");
        assert!(site.service.drain(FAR).await, "{url}: nothing holds it up");
        for producer in [&mut idle, &mut producer] {
            let status: Status = soon("the end", producer.replies.message())
                .await
                .expect_err("ended");
            assert_eq!(status.code, Code::Unavailable, "{url}");
            assert_eq!(status.message, "the service is shutting down", "{url}");
        }
        let mut late = Producer::try_open(&client, Metadata::new()).await;
        assert_eq!(late.end().await, Code::Unavailable, "{url}");
    }
}
