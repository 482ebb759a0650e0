//! The SDK's producer: many submissions on one call, and what becomes of them when it ends.

use std::{ops::Range, time::Duration};

use futures_util::future::join_all;
use headwater_proto::push_channel::{ProduceReply, Refusal, SubmitRequest, produce_reply};
use headwater_rpc::{
    Client as RpcClient, Code, IncomingCall, Metadata, Router, Server, ServerConfig, Status,
    stub::{Messages, ProstCodec, Sink},
};
use headwater_upstream::channel::{ChannelClient, ChannelConfig, Producer, SubmitError};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    task::JoinHandle,
    time::Instant,
};

use super::{Site, open};
use crate::support::*;

/// A call of `Produce` whose service is the test.
struct Call {
    requests: Messages<SubmitRequest>,
    replies: Sink<ProduceReply>,
    authorization: Option<String>,
}

impl Call {
    fn of(call: IncomingCall) -> Self {
        let authorization = call.metadata.text("authorization").map(str::to_owned);
        Self {
            requests: Messages::new::<ProstCodec>(call.receiver),
            replies: Sink::new::<ProstCodec>(call.sender),
            authorization,
        }
    }

    /// The text of the next request.
    async fn text(&mut self) -> String {
        let request = self.requests.message().await.expect("it goes on");
        request.expect("one more").message
    }

    async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.text().await);
        }
        texts
    }

    fn answer(&self, result: produce_reply::Result) {
        let reply = ProduceReply {
            result: Some(result),
        };
        assert_eq!(self.replies.try_send(&reply), Ok(true), "room");
    }

    fn accept(&self, offset: u64) {
        self.answer(produce_reply::Result::Offset(offset));
    }

    fn end(&self, status: Status) {
        let ended = self.replies.sender().finish(Err(status), Metadata::new());
        ended.expect("it goes on");
    }

    /// Ends it without a word.
    fn reset(&self) {
        self.replies.cancel();
    }

    async fn is_over(&mut self) {
        while matches!(self.requests.message().await, Ok(Some(_))) {}
    }
}

/// Calls of `Produce` as they come, and a client that makes them.
struct Stub {
    calls: UnboundedReceiver<Call>,
    client: ChannelClient,
}

impl Stub {
    fn start(config: ChannelConfig) -> Self {
        let (came, calls) = mpsc::unbounded_channel();
        let router = Router::new();
        router.stream("/MessageSync/Produce", move |call| {
            let _ = came.send(Call::of(call));
            async {}
        });
        let (client, server) = headwater_in_process::pair();
        let server = Server::new(server, router, ServerConfig::default());
        tokio::spawn(async move { server.serve().await });
        let client = ChannelClient::over(RpcClient::new(client), config);
        Self { calls, client }
    }

    async fn call(&mut self) -> Call {
        let call = soon("a call", self.calls.recv()).await;
        call.expect("the server runs")
    }
}

/// So many submissions of `first` and the numbers after it, all under way at once.
fn submissions(
    producer: &Producer,
    numbers: Range<u32>,
) -> JoinHandle<Vec<Result<u64, SubmitError>>> {
    let submitting = numbers.map(|number| {
        let producer = producer.clone();
        async move { producer.submit(number.to_string()).await }
    });
    tokio::spawn(join_all(submitting.collect::<Vec<_>>()))
}

fn numbers(range: Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Waits until no task has anything to do, under a paused clock.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn unavailable() -> Status {
    Status::new(Code::Unavailable, "the service is leaving")
}

/// S3-03, S3-12: submissions that are under way at once each have their answer, and go into the channel in their order.
#[tokio::test]
async fn s3_12_1000_submissions_at_once_keep_their_order_over_every_transport() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let producer = site.sdk().producer("c");
        let submitted = soon("all answers", submissions(&producer, 0..1000)).await;
        let expected: Vec<_> = (1..=1000).map(Ok).collect();
        assert!(submitted.expect("no panic") == expected, "{url}");
        let history = site.sdk().history("c", 1, 1000).await.expect("a page");
        let texts = history.messages.iter().map(|it| it.message.as_str());
        assert!(texts.eq(numbers(0..1000)), "{url}: in their order");
    }
}

/// S3-03: also of those that wait for room, none is lost, and none comes twice.
#[tokio::test]
async fn s3_03_more_submissions_at_once_than_are_taken_in_lose_nothing() {
    let site = Site::start(open()).await;
    let producer = site.sdk().producer("c");
    let submitted = soon("all answers", submissions(&producer, 0..5000)).await;
    let submitted: Result<Vec<u64>, SubmitError> =
        submitted.expect("no panic").into_iter().collect();
    let mut offsets = submitted.expect("all are taken");
    offsets.sort_unstable();
    assert!(offsets.into_iter().eq(1..=5000));
    assert_eq!(site.waiting("c"), 5000);
}

/// A time that cannot be counted is none.
#[tokio::test]
async fn a_submission_may_take_for_ever() {
    let mut stub = Stub::start(ChannelConfig {
        submit_timeout: Duration::MAX,
        ..ChannelConfig::default()
    });
    let producer = stub.client.producer("c");
    let submitted = submissions(&producer, 0..1);
    let mut call = stub.call().await;
    assert_eq!(call.text().await, "0");
    call.accept(1);
    let submitted = soon("the answer", submitted).await;
    assert_eq!(submitted.expect("no panic"), [Ok(1)]);
}

/// One that is refused is told so, and disturbs no other.
#[tokio::test]
async fn a_refused_submission_disturbs_none_beside_it() {
    let mut config = open();
    config.queue.messages_max = 2;
    let site = Site::start(config).await;
    let producer = site.sdk().producer("c");
    let huge = "x".repeat(5 << 20);
    let submitted = tokio::join!(
        producer.submit("fits"),
        producer.submit(huge),
        producer.submit("fits, too"),
        producer.submit("one too many"),
    );
    assert_eq!((submitted.0, submitted.2), (Ok(1), Ok(2)));
    let Err(SubmitError::NotSent(status)) = submitted.1 else {
        panic!("over the limit of a message: {:?}", submitted.1);
    };
    assert_eq!(status.code, Code::ResourceExhausted);
    let Err(SubmitError::Refused(status)) = submitted.3 else {
        panic!("the channel is full: {:?}", submitted.3);
    };
    assert_eq!(status.code, Code::ResourceExhausted);
}

/// S3-10: what a service that leaves has not taken goes to the next one, in order; what it has does not.
#[tokio::test(start_paused = true)]
async fn s3_10_submissions_go_on_at_the_next_service_behind_those_that_were_answered() {
    let mut stub = Stub::start(ChannelConfig::default());
    let producer = stub.client.producer("c");
    let submitted = submissions(&producer, 0..5);
    let mut first = stub.call().await;
    assert_eq!(first.texts(5).await, numbers(0..5));
    first.accept(1);
    first.answer(produce_reply::Result::Refused(Refusal {
        code: Code::ResourceExhausted.number().into(),
        message: "full".into(),
    }));
    first.end(unavailable());
    let ended = Instant::now();
    let mut second = stub.call().await;
    assert!(ended.elapsed() >= Duration::from_millis(150), "not at once");
    assert_eq!(second.texts(3).await, numbers(2..5));
    for offset in 7..10 {
        second.accept(offset);
    }
    let full = Status::new(Code::ResourceExhausted, "full");
    let refused = Err(SubmitError::Refused(full));
    let expected = [Ok(1), refused, Ok(7), Ok(8), Ok(9)];
    assert_eq!(submitted.await.expect("no panic"), expected);
}

/// S3-10: what was sent and not answered when the call broke is not known, and is not sent again; what comes next goes on.
#[tokio::test(start_paused = true)]
async fn s3_10_a_call_that_breaks_leaves_unknown_what_was_not_answered() {
    let mut stub = Stub::start(ChannelConfig::default());
    let producer = stub.client.producer("c");
    let submitted = submissions(&producer, 0..3);
    let mut broken = stub.call().await;
    broken.texts(3).await;
    broken.accept(1);
    // The answer is on its way before the reset, which overtakes.
    settled().await;
    broken.reset();
    let submitted = submitted.await.expect("no panic");
    assert_eq!(submitted[0], Ok(1));
    for unknown in &submitted[1..] {
        assert!(
            matches!(unknown, Err(SubmitError::Unknown(_))),
            "{unknown:?}"
        );
    }
    let next = submissions(&producer, 3..4);
    let mut call = stub.call().await;
    assert_eq!(call.text().await, "3", "and nothing that was sent before");
    call.accept(2);
    assert_eq!(next.await.expect("no panic"), [Ok(2)]);
}

/// Dropping a submission takes it back as long as it was not sent, and never takes another one's answer.
#[tokio::test(start_paused = true)]
async fn a_submission_that_is_dropped_disturbs_none_beside_it() {
    let mut stub = Stub::start(ChannelConfig::default());
    let producer = stub.client.producer("c");
    let dropped = submissions(&producer, 0..1);
    let mut call = stub.call().await;
    assert_eq!(call.text().await, "0");
    dropped.abort();
    let submitted = submissions(&producer, 1..2);
    assert_eq!(call.text().await, "1");
    call.accept(1);
    call.accept(2);
    assert_eq!(submitted.await.expect("no panic"), [Ok(2)]);

    call.end(unavailable());
    settled().await;
    // While it waits for another call.
    let first = submissions(&producer, 2..3);
    let mut call = stub.call().await;
    call.text().await;
    call.end(unavailable());
    let dropped = submissions(&producer, 3..4);
    let last = submissions(&producer, 4..5);
    settled().await;
    dropped.abort();
    let mut call = stub.call().await;
    assert_eq!(call.texts(2).await, ["2", "4"], "3 was taken back");
    call.accept(3);
    call.accept(4);
    assert_eq!(first.await.expect("no panic"), [Ok(3)]);
    assert_eq!(last.await.expect("no panic"), [Ok(4)]);
}

/// However many there are, each has its own time; and a call on which nothing is answered is given up.
#[tokio::test(start_paused = true)]
async fn submissions_that_nobody_answers_are_unknown_in_time_and_the_next_has_another_call() {
    let mut stub = Stub::start(ChannelConfig::default());
    let timeout = ChannelConfig::default().submit_timeout;
    let producer = stub.client.producer("c");
    let began = Instant::now();
    let submitted = submissions(&producer, 0..3000);
    let mut silent = stub.call().await;
    let submitted = submitted.await.expect("no panic");
    let took = began.elapsed();
    assert!(
        took >= timeout && took < timeout + Duration::from_millis(10),
        "{took:?}"
    );
    let is_unknown = |it: &&Result<u64, SubmitError>| matches!(it, Err(SubmitError::Unknown(_)));
    let is_not_sent = |it: &&Result<u64, SubmitError>| matches!(it, Err(SubmitError::NotSent(_)));
    assert_eq!(submitted.iter().filter(is_unknown).count(), 1024, "sent");
    assert_eq!(submitted.iter().filter(is_not_sent).count(), 3000 - 1024);
    soon("the silent call to be given up", silent.is_over()).await;
    let next = submissions(&producer, 7..8);
    let mut call = stub.call().await;
    assert_eq!(call.text().await, "7");
    call.accept(1);
    assert_eq!(next.await.expect("no panic"), [Ok(1)]);
}

/// S3-20: a call ends before its token does, and the next submissions are on another one, behind those before.
#[tokio::test(start_paused = true)]
async fn s3_20_submissions_move_to_a_call_with_a_fresh_token_in_order() {
    let site = Site::start(headwater::ChannelsConfig::default()).await;
    let config = ChannelConfig {
        connection_string: site.service.connection_string(),
        token_lifetime: Duration::from_secs(100),
        // Longer than the token lives.
        submit_timeout: Duration::from_secs(1000),
        ..ChannelConfig::default()
    };
    let mut stub = Stub::start(config);
    let producer = stub.client.producer("c");
    let first = submissions(&producer, 0..2);
    let mut call = stub.call().await;
    assert!(call.authorization.is_some(), "it shows its token");
    call.texts(2).await;
    tokio::time::sleep(Duration::from_secs(81)).await;
    let second = submissions(&producer, 2..3);
    settled().await;
    assert!(
        stub.calls.try_recv().is_err(),
        "not before the first are in"
    );
    call.accept(1);
    call.accept(2);
    let mut next = stub.call().await;
    assert_eq!(next.text().await, "2");
    next.accept(3);
    soon("the end of the old call", call.is_over()).await;
    assert_eq!(first.await.expect("no panic"), [Ok(1), Ok(2)]);
    assert_eq!(second.await.expect("no panic"), [Ok(3)]);
}

/// Nothing of a producer that was dropped is left at the service.
#[tokio::test(start_paused = true)]
async fn a_producer_that_is_dropped_ends_its_call() {
    let mut stub = Stub::start(ChannelConfig::default());
    let producer = stub.client.producer("c");
    let clone = producer.clone();
    let submitted = submissions(&producer, 0..1);
    let mut call = stub.call().await;
    call.text().await;
    call.accept(1);
    assert_eq!(submitted.await.expect("no panic"), [Ok(1)]);
    drop(producer);
    let ending = tokio::spawn(async move { call.is_over().await });
    settled().await;
    assert!(!ending.is_finished(), "a clone uses it");
    drop(clone);
    soon("the end of the call", ending).await.expect("no panic");
}
