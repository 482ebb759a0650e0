//! Many messages at once: they stay whole, in order and counted, however they are cut and put together on their way.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use bytes::Bytes;
use headwater_conformance::{Fixture, for_each_transport};
use headwater_rpc::{
    CallOptions, Code, Encoding, Encodings, IncomingCall, Metadata, Receiver, Sender, Shape,
    Status,
    interceptor::Transform,
    stub::{Messages, ProstCodec, Sink},
};
use tokio::sync::{Notify, oneshot};

const PATH: &str = "/batches.Test/Run";

/// Lets messages pass, and counts them.
#[derive(Default)]
struct Passed(AtomicUsize);

impl Transform for Passed {
    fn message(&self, message: Bytes) -> Result<Bytes, Status> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(message)
    }
}

/// Of different lengths, the first one empty.
fn texts(count: usize) -> Vec<String> {
    (0..count)
        .map(|index| format!("{index} ").repeat(index % 41))
        .collect()
}

async fn open(pair: &Fixture, options: CallOptions) -> (Sender, Receiver) {
    let call = pair.client.call(PATH, Metadata::new(), options).await;
    call.unwrap_or_else(|error| panic!("the call could not be opened: {error}"))
}

/// Sends 3,000 messages, which no window holds, to a handler that begins to read when the sender waits for room.
async fn send_to_a_slow_reader(
    pair: &Fixture,
    options: CallOptions,
    transform: Option<Arc<Passed>>,
) {
    let (read, all_read) = oneshot::channel();
    let (read, go) = (std::sync::Mutex::new(Some(read)), Arc::new(Notify::new()));
    let begin = Arc::clone(&go);
    pair.router.stream(PATH, move |call: IncomingCall| {
        let begin = Arc::clone(&begin);
        let read = read.lock().expect("no panic").take();
        async move {
            begin.notified().await;
            let mut requests = Messages::<String>::new::<ProstCodec>(call.receiver);
            let mut texts = Vec::new();
            while let Some(text) = requests.message().await.expect("open") {
                texts.push(text);
                tokio::task::yield_now().await;
            }
            read.map(|read| read.send(texts));
            let finished = call.sender.finish(Ok(()), Metadata::new());
            finished.expect("the call is open");
        }
    });
    let (mut sender, _receiver) = open(pair, options).await;
    if let Some(transform) = &transform {
        sender = sender.through(Arc::clone(transform) as Arc<dyn Transform>);
    }
    let sink = Sink::<String>::new::<ProstCodec>(sender);
    let sent = texts(3000);
    let mut sending = pin!(sink.send_all(&sent));
    let waits = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx).is_pending())).await;
    assert!(waits, "the window holds 1024 messages");
    go.notify_one();
    sending.await.expect("the handler reads");
    sink.finish().expect("the call is open");
    let received = all_read.await.expect("the handler came to the end");
    assert!(received == sent, "in order, and nothing is lost");
    if let Some(passed) = transform {
        assert_eq!(passed.0.load(Ordering::Relaxed), 3000, "each exactly once");
    }
}

#[test]
fn a_slow_reader_gets_all_of_a_batch_that_its_window_cuts() {
    for_each_transport(async |transport| {
        let pair = Fixture::new(transport).await;
        send_to_a_slow_reader(&pair, CallOptions::default(), None).await;
    });
}

#[test]
fn a_slow_reader_gets_all_of_a_batch_that_is_compressed() {
    for_each_transport(async |transport| {
        let pair = Fixture::new(transport).await;
        let options = CallOptions {
            compression: Encoding::Gzip,
            accepted_encodings: Encodings::ALL,
            ..CallOptions::default()
        };
        send_to_a_slow_reader(&pair, options, None).await;
    });
}

#[test]
fn a_slow_reader_gets_all_of_a_batch_that_passes_a_transform() {
    for_each_transport(async |transport| {
        let pair = Fixture::new(transport).await;
        let passed = Some(Arc::default());
        send_to_a_slow_reader(&pair, CallOptions::default(), passed).await;
    });
}

/// Has a handler answer with these messages, of which the last may be no message of the type, and OK.
fn answer(pair: &Fixture, messages: Vec<Bytes>) {
    pair.router.stream(PATH, move |call: IncomingCall| {
        let messages = messages.clone();
        async move {
            let sent = call.sender.try_send_all(messages.clone());
            assert_eq!(sent, Ok(messages.len()), "the window is empty");
            let finished = call.sender.finish(Ok(()), Metadata::new());
            finished.expect("the call is open");
        }
    });
}

fn encoded(texts: &[String]) -> Vec<Bytes> {
    let messages = texts.iter().map(prost::Message::encode_to_vec);
    messages.map(Bytes::from).collect()
}

/// What is read one by one and what is read at once are the same messages, also through a transform.
#[test]
fn messages_can_be_read_one_by_one_and_together() {
    for_each_transport(async |transport| {
        for transform in [None, Some(Arc::new(Passed::default()))] {
            let pair = Fixture::new(transport).await;
            let sent = texts(500);
            answer(&pair, encoded(&sent));
            let (_sender, mut receiver) = open(&pair, CallOptions::default()).await;
            if let Some(transform) = &transform {
                receiver = receiver.through(Arc::clone(transform) as Arc<dyn Transform>);
            }
            let mut messages = Messages::<String>::new::<ProstCodec>(receiver);
            let mut received = Vec::new();
            while let Some(text) = messages.message().await.expect("it ends with OK") {
                received.push(text);
                let count = received.len();
                let more = messages.next_batch(&mut received).await;
                assert_eq!(more, Ok(received.len() - count), "as many as it says");
            }
            assert_eq!(received, sent);
            if let Some(passed) = transform {
                assert_eq!(passed.0.load(Ordering::Relaxed), 500, "each exactly once");
            }
        }
    });
}

/// The rules of the call hold for messages that came together: the first is given, then the call has failed.
#[test]
fn a_response_too_many_ends_the_call_where_it_is() {
    for_each_transport(async |transport| {
        let pair = Fixture::new(transport).await;
        answer(&pair, encoded(&texts(3)));
        let options = CallOptions {
            shape: Shape::ClientStreaming,
            ..CallOptions::default()
        };
        let (_sender, receiver) = open(&pair, options).await;
        let mut messages = Messages::<String>::new::<ProstCodec>(receiver);
        assert_eq!(messages.message().await, Ok(Some(String::new())));
        let status = messages.message().await.expect_err("there are two more");
        assert_eq!(status.code, Code::Unimplemented, "{status}");
    });
}

/// Also where the one that cannot be decoded lies between others.
#[test]
fn nothing_follows_a_message_that_cannot_be_decoded() {
    for_each_transport(async |transport| {
        let pair = Fixture::new(transport).await;
        let mut sent = encoded(&texts(3));
        sent.insert(2, Bytes::from_static(b"\x0a\xff"));
        answer(&pair, sent);
        let (_sender, receiver) = open(&pair, CallOptions::default()).await;
        let mut messages = Messages::<String>::new::<ProstCodec>(receiver);
        let mut received = Vec::new();
        while received.len() < 2 {
            received.extend(messages.message().await.expect("these are whole"));
        }
        assert_eq!(received, texts(2));
        for _ in 0..2 {
            let status = messages.message().await.expect_err("it is no text");
            assert_eq!(status.code, Code::Internal, "the error stays");
        }
    });
}
