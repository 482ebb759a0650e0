//! Calls without a policy whose whole request is known when they begin: sent again by themselves while no handler has seen
//! them (gRFC A6, "Transparent Retries").

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use headwater_rpc::{
    CallError, Encoding, Pulled, Receiver, RetryConfig, Sender, Shape,
    interceptor::{ClientInterceptor, ClientNext, Filter, OutgoingCall, Transform},
};

use super::{
    scripted::{read_and_success, run},
    *,
};

/// A client without any policy.
fn plain(transport: &Scripted) -> Client {
    transport.client(ServiceConfig::default())
}

fn request() -> Bytes {
    Bytes::from_static(b"request")
}

/// What each attempt sends.
fn whole() -> Vec<Frame> {
    vec![Frame::Message(request()), Frame::end(Trailers::ok())]
}

async fn unary(client: &Client, options: CallOptions) -> Result<Bytes, Code> {
    let mut metadata = Metadata::new();
    metadata.append("key", "value").expect("valid metadata");
    let answer = client.unary(PATH, metadata, request(), options);
    answer.await.map_err(|status| status.code)
}

/// S4-54: all of it goes again: the caller's metadata, and the request, however much of it the first stream took. It is
/// no attempt of a policy, and the server is not told that there was one before.
#[tokio::test(start_paused = true)]
async fn s4_54_a_refused_call_is_sent_again_whole() {
    let firsts = [
        Step::Gone(Reached::Library),
        Step::ReadAndGone(Reached::Library),
        Step::DiscardAndGone(Reached::Library),
        Step::Later(ms(5), Step::Gone(Reached::Library).into()),
        Step::Gone(Reached::Nothing),
    ];
    for (case, first) in firsts.into_iter().enumerate() {
        let transport = Scripted::new([first, read_and_success()]);
        let client = plain(&transport);
        let outcome = unary(&client, CallOptions::default()).await;
        assert_eq!(outcome, Ok(Bytes::from("answer")), "case {case}");
        let opened = transport.opened();
        assert_eq!(opened.len(), 2, "case {case}");
        assert_eq!(opened[0], opened[1], "case {case}: the same headers");
        assert_eq!(opened[1].metadata.text("key"), Some("value"));
        assert_eq!(transport.sent().last(), Some(&whole()), "case {case}");
        let counters = client.retry_counters();
        let counted = (counters.transparent_retries, counters.retries);
        assert_eq!(counted, (1, 0), "case {case}");
        assert_eq!(counters.failures, 0, "case {case}");
    }
}

/// S4-54: what reached the server's library is sent again once.
#[tokio::test(start_paused = true)]
async fn s4_54_a_call_that_is_refused_twice_has_failed() {
    let refused = || Step::Gone(Reached::Library);
    let transport = Scripted::new([refused(), refused(), success()]);
    let client = plain(&transport);
    let outcome = unary(&client, CallOptions::default()).await;
    assert_eq!(outcome, Err(Code::Unavailable));
    assert_eq!(transport.opened().len(), 2);
}

/// S4-54: what never left this side is sent again until the deadline, not in a tight loop, and each stream is told the
/// time that is left.
#[tokio::test(start_paused = true)]
async fn s4_54_what_never_left_is_sent_again_until_the_deadline() {
    let lost = || (0..100_000).map(|_| Step::Gone(Reached::Nothing));
    let transport = Scripted::new(lost());
    let client = plain(&transport);
    let begun = Instant::now();
    assert_eq!(
        call(&client, Some(ms(5000))).await,
        Err(Code::DeadlineExceeded)
    );
    assert_eq!(begun.elapsed(), ms(5000));
    let opened = transport.opened();
    assert!(
        (5..50).contains(&opened.len()),
        "{} streams in 5 s",
        opened.len()
    );
    let left: Vec<_> = opened.iter().filter_map(|it| it.timeout).collect();
    assert_eq!(left.len(), opened.len(), "each is told");
    assert_eq!(left[..2], [ms(5000); 2], "the second goes at once");
    assert!(left[1..].is_sorted_by(|one, next| one > next), "{left:?}");

    let transport = Scripted::new(lost().take(20).chain([
        Step::Gone(Reached::Library),
        Step::Gone(Reached::Nothing),
        success(),
    ]));
    let client = plain(&transport);
    assert_eq!(call(&client, None).await, Ok(Bytes::from("answer")));
    assert_eq!(client.retry_counters().transparent_retries, 22);
}

/// S4-54: a call of which anything was heard, or that a handler may have seen, is never repeated; nor is one that the
/// transport does not open, which has looked for another way itself.
#[tokio::test(start_paused = true)]
async fn s4_54_what_a_handler_may_have_seen_is_not_sent_again() {
    let headers = || vec![Frame::Headers(Metadata::new())];
    let cases = [
        Step::Gone(Reached::Handler),
        Step::AnswerAndGone(headers(), Reached::Library),
        Step::AnswerAndGone(headers(), Reached::Nothing),
        Step::Refuse(Code::Unavailable),
        unavailable(),
    ];
    for (case, first) in cases.into_iter().enumerate() {
        let transport = Scripted::new([first, success()]);
        let client = plain(&transport);
        let outcome = unary(&client, CallOptions::default()).await;
        assert_eq!(outcome, Err(Code::Unavailable), "case {case}");
        assert_eq!(transport.opened().len(), 1, "case {case}");
        assert_eq!(client.retry_counters().calls, 0, "case {case}");
    }
}

/// S4-54: a second stream that is answered counts, whatever comes of it then.
#[tokio::test(start_paused = true)]
async fn s4_54_the_answer_to_a_call_that_was_sent_again_commits_it() {
    let headers = vec![Frame::Headers(Metadata::new())];
    let transport = Scripted::new([
        Step::Gone(Reached::Nothing),
        Step::AnswerAndGone(headers, Reached::Nothing),
        success(),
    ]);
    let outcome = unary(&plain(&transport), CallOptions::default()).await;
    assert_eq!(outcome, Err(Code::Unavailable));
    assert_eq!(transport.opened().len(), 2);
}

/// S4-54: whatever the shape of the method and the encoding, a request that goes with the beginning of the call is kept. Of
/// a call whose requests follow, nothing is.
#[tokio::test(start_paused = true)]
async fn s4_54_only_requests_that_are_known_at_the_beginning_are_kept() {
    let steps = || [Step::ReadAndGone(Reached::Library), read_and_success()];
    for shape in [Shape::ServerStreaming, Shape::Bidirectional] {
        let transport = Scripted::new(steps());
        let options = CallOptions {
            shape,
            compression: Encoding::Gzip,
            ..CallOptions::default()
        };
        let client = plain(&transport);
        let request = Bytes::from(vec![b'x'; 100]);
        let call = client.call_with_request(PATH, Metadata::new(), request, options);
        let (_, mut receiver) = call.await.expect("it opens");
        assert_eq!(receiver.headers().await, Some(Metadata::new()));
        let mut answers = Vec::new();
        while receiver
            .next_batch(&mut answers)
            .await
            .expect("it succeeds")
            > 0
        {}
        assert_eq!(answers, ["answer"], "{shape:?}");
        let sent = transport.sent();
        assert_eq!(sent[0], sent[1], "{shape:?}");
    }
    let transport = Scripted::new([Step::Gone(Reached::Library), success()]);
    let client = plain(&transport);
    let options = CallOptions {
        shape: Shape::Unary,
        ..CallOptions::default()
    };
    let call = client.call(PATH, Metadata::new(), options).await;
    let (sender, mut receiver) = call.expect("it opens");
    sender.send(request()).await.expect("it is open");
    let outcome = receiver.next_batch(&mut Vec::new()).await;
    assert_eq!(outcome.map_err(|it| it.status.code), Err(Code::Unavailable));
    assert_eq!(transport.opened().len(), 1);
}

/// S4-54 and S4-55: a request that is too large for what the call, or all calls of the client, may keep is not sent again;
/// 0 keeps none at all. What is kept is given back.
#[tokio::test(start_paused = true)]
async fn s4_55_what_is_too_large_is_not_kept() {
    let bounds = |call, channel| RetryConfig {
        call_buffer_bytes_max: call,
        channel_buffer_bytes_max: channel,
        ..RetryConfig::default()
    };
    let own = |bytes| CallOptions {
        retry_buffer_bytes_max: bytes,
        ..CallOptions::default()
    };
    let all = usize::MAX;
    let cases = [
        ("the call's own 0", 0, own(Some(0)), bounds(all, all), 1),
        ("the client's 0", 0, own(None), bounds(0, all), 1),
        ("each counts 32", 68, own(Some(99)), bounds(0, all), 1),
        (
            "the call's own bound",
            68,
            own(Some(100)),
            bounds(0, all),
            2,
        ),
        (
            "over all calls' bound",
            5000,
            own(None),
            bounds(all, 5031),
            1,
        ),
        ("all calls' bound", 5000, own(None), bounds(all, 5032), 2),
    ];
    for (name, bytes, options, bounds, expected) in cases {
        let transport = Scripted::default();
        let client = plain(&transport);
        client.set_retry_config(bounds);
        for _ in 0..3 {
            let before = transport.opened().len();
            let last = if expected == 1 { None } else { Some(success()) };
            transport.then([Step::Gone(Reached::Library)].into_iter().chain(last));
            let request = Bytes::from(vec![0; bytes]);
            let answer = client.unary(PATH, Metadata::new(), request, options.clone());
            assert_eq!(answer.await.is_ok(), expected == 2, "{name}");
            assert_eq!(transport.opened().len() - before, expected, "{name}");
        }
    }
}

/// The stream before is of no account any more: it takes nothing of what is sent again, and its end ends nothing.
#[tokio::test(start_paused = true)]
async fn a_stream_that_was_given_up_has_no_part_in_the_call() {
    let transport = Scripted::new([Step::LeaveAndGone(Reached::Library), Step::Silence]);
    let client = plain(&transport);
    let options = CallOptions::default();
    let call = client.call_with_request(PATH, Metadata::new(), request(), options);
    let (sender, mut receiver) = call.await.expect("it opens");
    let mut left = transport.left().expect("it was opened");
    let mut watch = left.reset_watch();
    let watching = tokio::spawn(async move { poll_fn(|cx| watch.poll_reset(cx)).await });
    tokio::task::yield_now().await;
    assert!(!watching.is_finished(), "the first stream is the call's");
    let reading = tokio::spawn(async move {
        let outcome = receiver.next_batch(&mut Vec::new()).await;
        outcome.map_err(|it| it.status.code)
    });
    watching.await.expect("it hears that it was given up");
    let mut frames = Vec::new();
    let pulled = poll_fn(|cx| left.poll_frames(cx, &mut frames)).await;
    assert_eq!((pulled, frames), (Pulled::Reset(Code::Cancelled), vec![]));
    drop(left);
    assert!(!sender.is_ended());
    sender.cancel();
    assert_eq!(reading.await.expect("no panic"), Err(Code::Cancelled));
}

/// A call that nobody waits for any more is not sent again.
#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_not_sent_again() {
    let transport = Scripted::new((0..100).map(|_| Step::Gone(Reached::Nothing)));
    let client = plain(&transport);
    let call = call(&client, None);
    assert!(
        tokio::time::timeout(ms(100), call).await.is_err(),
        "it waits"
    );
    let before = transport.opened().len();
    tokio::time::sleep(ms(60_000)).await;
    assert_eq!(transport.opened().len(), before);
    assert!(before > 1, "it was sent again before");
}

/// Counts the calls, and signs them and what they send.
struct Signing(AtomicUsize);

#[async_trait]
impl ClientInterceptor for Signing {
    async fn intercept(
        &self,
        mut call: OutgoingCall,
        next: ClientNext,
    ) -> Result<(Sender, Receiver), CallError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        call.metadata.append("signed", "yes").expect("valid");
        let (sender, receiver) = next.run(call).await?;
        Ok((sender.through(Arc::new(Sign)), receiver))
    }
}

struct Sign;

impl Transform for Sign {
    fn message(&self, message: Bytes) -> Result<Bytes, Status> {
        Ok([&message, &b" signed"[..]].concat().into())
    }
}

/// S4-54: interceptors stand above: they see one call, and what they made of it goes again.
#[tokio::test(start_paused = true)]
async fn s4_54_interceptors_see_a_call_that_is_sent_again_once() {
    for first in [
        Step::DiscardAndGone(Reached::Library),
        Step::Gone(Reached::Nothing),
    ] {
        let transport = Scripted::new([first, read_and_success()]);
        let signing = Arc::new(Signing(AtomicUsize::new(0)));
        let builder = Client::builder(transport.clone());
        let client = builder
            .intercept(Filter::all(), Arc::clone(&signing))
            .build();
        run(&client);
        let outcome = unary(&client, CallOptions::default()).await;
        assert_eq!(outcome, Ok(Bytes::from("answer")));
        assert_eq!(signing.0.load(Ordering::Relaxed), 1);
        let opened = transport.opened();
        let signed: Vec<_> = opened
            .iter()
            .map(|headers| headers.metadata.text("signed"))
            .collect();
        assert_eq!(signed, [Some("yes"); 2]);
        let message = Bytes::from_static(b"request signed");
        let expected = vec![Frame::Message(message), Frame::end(Trailers::ok())];
        assert_eq!(transport.sent(), [expected]);
    }
}
