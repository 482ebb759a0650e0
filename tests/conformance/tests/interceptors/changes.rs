//! Interceptors that change a call, or end it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_conformance::{
    Fixture,
    control::{ECHO, RUN, done, read, say},
    for_each_transport,
};
use headwater_rpc::{
    CallError, CallOptions, CancelReason, Code, Encoding, EndedBy, IncomingCall, Metadata,
    Receiver, SUPPORTED_ENCODINGS, Sender, Status, Trailers,
    interceptor::{
        ClientInterceptor, ClientNext, Filter, OutgoingCall, ServerInterceptor, ServerNext,
        Transform,
    },
};
use tokio::task::yield_now;

use crate::support::{Attach, code};

/// Lets only those with the key in, and adds it on the client.
struct Key(&'static str);

#[async_trait]
impl ServerInterceptor for Key {
    async fn intercept(&self, call: IncomingCall, next: ServerNext) {
        if call.metadata.text("key") == Some(self.0) {
            return next.run(call).await;
        }
        let status = Status::new(Code::Unauthenticated, "the key is missing or wrong");
        let _ = call.sender.finish(Err(status), Metadata::new());
    }
}

#[async_trait]
impl ClientInterceptor for Key {
    async fn intercept(
        &self,
        mut call: OutgoingCall,
        next: ClientNext,
    ) -> Result<(Sender, Receiver), CallError> {
        call.metadata
            .append("key", self.0)
            .expect("a valid key and value");
        next.run(call).await
    }
}

/// S4-31: an interceptor rejects a call before its handler hears of it, whatever kind of call it is.
#[test]
fn s4_31_auth_rejects_before_the_handler() {
    for_each_transport(|transport| async move {
        let pair = Fixture::built(transport, |client, server| {
            (client, server.intercept(Filter::all(), Key("sesame")))
        });
        let pair = pair.await;
        let handled = Arc::new(AtomicBool::new(false));
        let handler = Arc::clone(&handled);
        pair.router.stream("/a.Guarded/Stream", move |call| {
            handler.store(true, Ordering::Relaxed);
            async move { drop(call) }
        });
        let handler = Arc::clone(&handled);
        pair.router.unary("/a.Guarded/Unary", move |request| {
            handler.store(true, Ordering::Relaxed);
            async move { Ok(request.message) }
        });
        let status = Status::new(Code::Unauthenticated, "the key is missing or wrong");
        let answer = pair.unary("/a.Guarded/Unary", "").await;
        assert_eq!(answer, Err(status.clone()));
        let (sender, mut receiver) = pair.call("/a.Guarded/Stream").await;
        // It may have been rejected already.
        let _ = sender.try_send(Bytes::new());
        assert_eq!(read(&mut receiver).await, (vec![], Err(status)));
        while pair.server.open_calls() > 0 {
            yield_now().await;
        }
        assert!(!handled.load(Ordering::Relaxed), "no handler was started");
    });
}

/// S4-31: metadata that the client's interceptor adds open the door.
#[test]
fn s4_31_a_clients_interceptor_adds_metadata() {
    for_each_transport(|transport| async move {
        for (key, expected) in [("sesame", Ok(Bytes::from("x"))), ("wrong", Err(()))] {
            let pair = Fixture::built(transport, |client, server| {
                (
                    client.intercept(Filter::all(), Key(key)),
                    server.intercept(Filter::all(), Key("sesame")),
                )
            });
            let answer = pair.await.unary(ECHO, "x").await;
            assert_eq!(answer.map_err(|_| ()), expected, "{key}");
        }
    });
}

/// Marks all that passes with a letter.
struct Mark(&'static str);

impl Transform for Mark {
    fn headers(&self, mut metadata: Metadata) -> Metadata {
        metadata.append("mark", self.0).expect("valid metadata");
        metadata
    }

    fn message(&self, message: Bytes) -> Result<Bytes, Status> {
        let text = String::from_utf8_lossy(&message);
        Ok(Bytes::from(format!("{text}{}", self.0)))
    }

    fn end(&self, mut trailers: Trailers) -> Trailers {
        let metadata = &mut trailers.metadata;
        metadata.append("mark", self.0).expect("valid metadata");
        trailers
    }
}

fn attach(requests: bool, transform: impl Transform) -> Attach {
    Attach {
        requests,
        transform: Arc::new(transform),
    }
}

fn marks(metadata: &Metadata) -> String {
    metadata
        .values("mark")
        .map(|value| value.to_wire())
        .collect()
}

/// S4-31: messages both ways, initial and trailing metadata are changed on both sides.
#[test]
fn s4_31_transforms_change_metadata_and_messages() {
    for_each_transport(|transport| async move {
        let pair = Fixture::built(transport, |client, server| {
            (
                client
                    .intercept(Filter::all(), attach(true, Mark("a")))
                    .intercept(Filter::all(), attach(false, Mark("d"))),
                server
                    .intercept(Filter::all(), attach(true, Mark("b")))
                    .intercept(Filter::all(), attach(false, Mark("c"))),
            )
        });
        let pair = pair.await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "echo x");
        done(&sender);
        let headers = receiver.headers().await.expect("there is a message");
        assert_eq!(marks(&headers), "cd", "headers that went by themselves");
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!((messages, outcome), (vec![Bytes::from("xabcd")], Ok(())));
        assert_eq!(marks(&receiver.trailers().expect("it is over")), "cd");
        assert_eq!(
            receiver
                .ended()
                .map(|ended| marks(&ended.trailers.metadata)),
            Some("cd".to_owned()),
            "the end is the same however often it is asked for"
        );
    });
}

/// Headers that the handler sends itself pass once; an answer of trailers alone has none.
#[test]
fn headers_pass_once_and_trailers_only_stays_so() {
    for_each_transport(|transport| async move {
        let pair = Fixture::built(transport, |client, server| {
            let server = server.intercept(Filter::all(), attach(false, Mark("c")));
            (client, server)
        });
        let pair = pair.await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "headers own value");
        say(&sender, "echo x");
        done(&sender);
        let headers = receiver.headers().await.expect("they were sent");
        assert_eq!((marks(&headers).as_str(), headers.len()), ("c", 2));
        assert_eq!(read(&mut receiver).await.0, ["xc"]);
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "status 9 no");
        assert_eq!(receiver.headers().await, None);
        assert_eq!(code(&read(&mut receiver).await.1), Code::FailedPrecondition);
        assert_eq!(marks(&receiver.trailers().expect("it is over")), "c");
    });
}

/// Fails at the message `bad`.
struct Refuse;

impl Transform for Refuse {
    fn message(&self, message: Bytes) -> Result<Bytes, Status> {
        if message.ends_with(b"bad") {
            return Err(Status::new(Code::DataLoss, "a bad message"));
        }
        Ok(message)
    }
}

/// S4-31: a message that a transform refuses ends the call with its status on this side and, as far as it can be told,
/// on the other; what passed before arrives.
#[test]
fn s4_31_a_message_that_fails_ends_the_call_on_both_sides() {
    for_each_transport(|transport| async move {
        for (on_client, requests) in [(true, true), (true, false), (false, true), (false, false)] {
            let which = format!("client: {on_client}, requests: {requests}");
            let pair = Fixture::built(transport, |client, server| {
                let refuse = attach(requests, Refuse);
                if on_client {
                    (client.intercept(Filter::all(), refuse), server)
                } else {
                    (client, server.intercept(Filter::all(), refuse))
                }
            });
            let pair = pair.await;
            let (sender, mut receiver) = pair.call(RUN).await;
            say(&sender, "echo good");
            let mut batch = Vec::new();
            assert_eq!(receiver.next_batch(&mut batch).await, Ok(1), "{which}");
            let sent = sender.try_send(Bytes::from("echo bad"));
            assert_eq!(sent.is_err(), on_client && requests, "{which}");
            let (messages, outcome) = read(&mut receiver).await;
            assert_eq!(messages, [""; 0], "{which}");
            assert_eq!(code(&outcome), Code::DataLoss, "{which}");
            let again = read(&mut receiver).await;
            assert_eq!(again, (messages, outcome), "{which}: it stays so");
            let reason = match on_client {
                true => CancelReason::Peer,
                false => CancelReason::Withdrawn,
            };
            assert_eq!(pair.control.next_cancel().await, reason, "{which}");
        }
    });
}

/// Opens another call than was asked for, or none.
struct Elsewhere;

#[async_trait]
impl ClientInterceptor for Elsewhere {
    async fn intercept(
        &self,
        mut call: OutgoingCall,
        next: ClientNext,
    ) -> Result<(Sender, Receiver), CallError> {
        match &*call.path {
            "/old/Echo" => call.path = ECHO.into(),
            "/closed/Echo" => return Err(Status::new(Code::Unavailable, "closed").into()),
            // The first answer does not count.
            "/twice/Echo" => {
                call.path = ECHO.into();
                drop(next.clone().run(call.clone()).await?);
            }
            _ => {}
        }
        next.run(call).await
    }
}

/// S4-31: a client's interceptor sends a call elsewhere, more than once, or not at all.
#[test]
fn s4_31_a_clients_interceptor_ends_early_or_calls_again() {
    for_each_transport(|transport| async move {
        let pair = Fixture::built(transport, |client, server| {
            (client.intercept(Filter::all(), Elsewhere), server)
        });
        let pair = pair.await;
        for path in ["/old/Echo", "/twice/Echo", ECHO] {
            assert_eq!(pair.unary(path, "x").await, Ok(Bytes::from("x")), "{path}");
        }
        let closed = Status::new(Code::Unavailable, "closed");
        assert_eq!(pair.unary("/closed/Echo", "x").await, Err(closed));
    });
}

/// Hands nothing on.
struct Stuck;

#[async_trait]
impl ClientInterceptor for Stuck {
    async fn intercept(
        &self,
        _: OutgoingCall,
        _: ClientNext,
    ) -> Result<(Sender, Receiver), CallError> {
        std::future::pending().await
    }
}

/// The deadline counts from the call, not from the end of its interceptors.
#[test]
fn the_deadline_bounds_a_clients_interceptors() {
    for_each_transport(|transport| async move {
        let pair = Fixture::built(transport, |client, server| {
            (client.intercept(Filter::all(), Stuck), server)
        });
        let pair = pair.await;
        let options = CallOptions {
            timeout: Some(Duration::from_millis(30)),
            ..CallOptions::default()
        };
        let error = pair.client.call(ECHO, Metadata::new(), options).await;
        let error = error.expect_err("nobody opens it");
        assert_eq!(error.status.code, Code::DeadlineExceeded);
        assert_eq!(error.by, EndedBy::Deadline);
    });
}

/// Answers the one message with itself, in the encoding in which it came.
async fn repeat(call: IncomingCall, encoding: Encoding) {
    let (mut receiver, sender) = (call.receiver, call.sender);
    let mut batch = Vec::new();
    assert_eq!(receiver.next_batch(&mut batch).await, Ok(1));
    assert_eq!(receiver.was_compressed(0), encoding != Encoding::Identity);
    sender.set_compression(encoding).expect("no headers yet");
    sender.try_send(batch.remove(0)).expect("there is room");
    sender.finish(Ok(()), Metadata::new()).expect("still open");
}

/// S4-67: what a transform makes of a message is what is compressed, and what it sees is decompressed.
#[test]
fn s4_67_transforms_see_plain_messages_and_theirs_are_compressed() {
    for_each_transport(|transport| async move {
        let pair = Fixture::built(transport, |client, server| {
            (
                client
                    .intercept(Filter::all(), attach(true, Mark("a")))
                    .intercept(Filter::all(), attach(false, Mark("d"))),
                server
                    .intercept(Filter::all(), attach(true, Mark("b")))
                    .intercept(Filter::all(), attach(false, Mark("c"))),
            )
        });
        let pair = pair.await;
        for encoding in Encoding::ALL {
            let options = CallOptions {
                compression: encoding,
                accepted_encodings: SUPPORTED_ENCODINGS,
                ..CallOptions::default()
            };
            let path = format!("/a.Repeat/{}", encoding.name());
            pair.router
                .stream(path.as_str(), move |call| repeat(call, encoding));
            let call = pair.client.call(path, Metadata::new(), options).await;
            let (sender, mut receiver) = call.expect("it opens");
            let text = "z".repeat(1000);
            sender.try_send(Bytes::from(text.clone())).expect("room");
            done(&sender);
            let mut batch = Vec::new();
            assert_eq!(receiver.next_batch(&mut batch).await, Ok(1));
            assert_eq!(batch, [format!("{text}abcd")], "{encoding:?}");
            let is_compressed = encoding != Encoding::Identity;
            assert_eq!(receiver.was_compressed(0), is_compressed, "{encoding:?}");
            assert_eq!(read(&mut receiver).await, (vec![], Ok(())));
        }
    });
}
