//! What panics or forgets a call ends that call, and disturbs nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use headwater_conformance::{
    Fixture, Transport,
    control::{ECHO, RUN, WAIT, done, read, say},
    for_each_transport,
};
use headwater_rpc::{
    CallError, Code, IncomingCall, Metadata, Receiver, Sender, Status, Trailers,
    interceptor::{
        ClientInterceptor, ClientNext, Filter, OutgoingCall, ServerInterceptor, ServerNext,
        Transform,
    },
};
use tokio::task::yield_now;

use crate::support::{Attach, code};

const GUARDED: &str = "/a.Guarded/Run";

/// A pair with a method [`GUARDED`] that echoes its messages, and that alone the interceptor stands before.
async fn guarded(transport: Transport, interceptor: impl ServerInterceptor) -> Fixture {
    let pair = Fixture::built(transport, |client, server| {
        let filter = Filter::methods([GUARDED]);
        (client, server.intercept(filter, interceptor))
    });
    let pair = pair.await;
    echo(&pair);
    pair
}

fn echo(pair: &Fixture) {
    pair.router
        .stream(GUARDED, |call: IncomingCall| async move {
            let (mut receiver, sender) = (call.receiver, call.sender);
            let mut batch = Vec::new();
            while receiver.next_batch(&mut batch).await.is_ok_and(|n| n > 0) {
                for message in batch.drain(..) {
                    let _ = sender.send(message).await;
                }
            }
            let _ = sender.finish(Ok(()), Metadata::new());
        });
}

/// A call on the same connection, which is to live through whatever happens to others.
struct Bystander(Sender, Receiver);

impl Bystander {
    async fn new(pair: &Fixture) -> Self {
        let (sender, receiver) = pair.call(RUN).await;
        let mut bystander = Self(sender, receiver);
        bystander.check("before").await;
        bystander
    }

    async fn check(&mut self, why: &str) {
        let Self(sender, receiver) = self;
        say(sender, "echo here");
        let mut batch = Vec::new();
        let count = receiver.next_batch(&mut batch).await;
        assert_eq!(count, Ok(1), "{why}: the other call goes on");
        assert_eq!(batch, ["here"], "{why}");
    }

    /// That nothing but this call is left, and it ends well.
    async fn finish(mut self, pair: &Fixture, why: &str) {
        self.check(why).await;
        assert_eq!(pair.unary(ECHO, "x").await, Ok(Bytes::from("x")), "{why}");
        while pair.server.open_calls() > 1 {
            yield_now().await;
        }
        let Self(sender, mut receiver) = self;
        done(&sender);
        assert_eq!(read(&mut receiver).await.1, Ok(()), "{why}");
    }
}

enum Misbehave {
    Panic,
    Forget,
}

#[async_trait]
impl ServerInterceptor for Misbehave {
    async fn intercept(&self, call: IncomingCall, _: ServerNext) {
        match self {
            Self::Panic => panic!("the interceptor was told to panic"),
            Self::Forget => drop(call),
        }
    }
}

/// A server's interceptor that panics, or drops the call and never hands it on: the client gets `UNKNOWN`.
#[test]
fn an_interceptor_that_panics_or_forgets_a_call_ends_it_as_unknown() {
    for_each_transport(|transport| async move {
        for interceptor in [Misbehave::Panic, Misbehave::Forget] {
            let pair = guarded(transport, interceptor).await;
            let bystander = Bystander::new(&pair).await;
            let (_sender, mut receiver) = pair.call(GUARDED).await;
            assert_eq!(code(&read(&mut receiver).await.1), Code::Unknown);
            bystander.finish(&pair, "a server's interceptor").await;
        }
    });
}

/// A handler that panics disturbs no other call of the connection.
#[test]
fn a_handler_that_panics_ends_its_own_call_alone() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let bystander = Bystander::new(&pair).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "echo a");
        say(&sender, "panic");
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!(messages, ["a"], "what it sent before arrives");
        assert_eq!(code(&outcome), Code::Unknown);
        bystander.finish(&pair, "a handler").await;
    });
}

/// Panics at one place.
struct PanicAt(&'static str);

impl PanicAt {
    fn reach(&self, place: &str) {
        assert!(self.0 != place, "the transform was told to panic");
    }
}

impl Transform for PanicAt {
    fn headers(&self, metadata: Metadata) -> Metadata {
        self.reach("headers");
        metadata
    }

    fn message(&self, message: Bytes) -> Result<Bytes, Status> {
        self.reach("message");
        Ok(message)
    }

    fn end(&self, trailers: Trailers) -> Trailers {
        self.reach("end");
        trailers
    }
}

fn panics_at(place: &'static str, requests: bool) -> Attach {
    Attach {
        requests,
        transform: Arc::new(PanicAt(place)),
    }
}

/// A server's transform that panics, wherever it does: its call fails, and no other.
#[test]
fn a_servers_transform_that_panics_ends_its_own_call_alone() {
    for_each_transport(|transport| async move {
        for (place, requests, expected) in [
            ("message", true, Code::Unknown),
            ("message", false, Code::Unknown),
            ("headers", false, Code::Unknown),
            ("end", true, Code::Internal),
            ("end", false, Code::Internal),
        ] {
            let why = format!("{place}, requests: {requests}");
            let pair = guarded(transport, panics_at(place, requests)).await;
            let bystander = Bystander::new(&pair).await;
            let (sender, mut receiver) = pair.call(GUARDED).await;
            say(&sender, "x");
            done(&sender);
            let outcome = read(&mut receiver).await.1;
            assert_eq!(code(&outcome), expected, "{why}");
            bystander.finish(&pair, &why).await;
        }
    });
}

/// A cancelled call's end is told in the transport's own task, which has the other calls of the connection.
#[test]
fn a_transform_that_panics_at_a_cancel_leaves_the_connection_alone() {
    for_each_transport(|transport| async move {
        for requests in [true, false] {
            let pair = Fixture::built(transport, |client, server| {
                let waiting = || Filter::methods([WAIT]);
                (
                    client.intercept(waiting(), panics_at("end", requests)),
                    server.intercept(waiting(), panics_at("end", requests)),
                )
            });
            let pair = pair.await;
            let bystander = Bystander::new(&pair).await;
            let (sender, receiver) = pair.call(WAIT).await;
            say(&sender, "x");
            if !requests {
                // Panics at the half-close otherwise, which is refused then.
                done(&sender);
                pair.control.started().await;
            }
            drop((sender, receiver));
            bystander.finish(&pair, "a cancel").await;
        }
    });
}

/// A client's transform that panics at the end: the caller is told.
#[test]
fn a_clients_transform_that_panics_at_the_end_is_internal() {
    for_each_transport(|transport| async move {
        let pair = Fixture::built(transport, |client, server| {
            let filter = Filter::methods([GUARDED]);
            (client.intercept(filter, panics_at("end", false)), server)
        });
        let pair = pair.await;
        echo(&pair);
        let bystander = Bystander::new(&pair).await;
        let (sender, mut receiver) = pair.call(GUARDED).await;
        say(&sender, "x");
        done(&sender);
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!((messages.len(), code(&outcome)), (1, Code::Internal));
        bystander.finish(&pair, "a client's end").await;
    });
}

#[async_trait]
impl ClientInterceptor for Misbehave {
    async fn intercept(
        &self,
        call: OutgoingCall,
        next: ClientNext,
    ) -> Result<(Sender, Receiver), CallError> {
        let halves = next.run(call).await?;
        match self {
            Self::Panic => panic!("the interceptor was told to panic"),
            Self::Forget => drop(halves),
        }
        Err(Status::new(Code::Aborted, "forgotten").into())
    }
}

/// A client's interceptor that panics takes its own caller down, and the server hears that nobody waits.
#[test]
fn a_clients_interceptor_that_panics_or_forgets_a_call_cancels_it() {
    for_each_transport(|transport| async move {
        for (interceptor, panics) in [(Misbehave::Panic, true), (Misbehave::Forget, false)] {
            let pair = Fixture::built(transport, |client, server| {
                let filter = Filter::methods([GUARDED]);
                (client.intercept(filter, interceptor), server)
            });
            let pair = pair.await;
            echo(&pair);
            let bystander = Bystander::new(&pair).await;
            let client = pair.client.clone();
            let call = async move {
                let call = client.call(GUARDED, Metadata::new(), Default::default());
                call.await.map(drop)
            };
            match tokio::spawn(call).await {
                Err(error) => assert!(panics && error.is_panic(), "{error}"),
                Ok(outcome) => {
                    let error = outcome.expect_err("it was given up");
                    assert_eq!((panics, error.status.code), (false, Code::Aborted));
                }
            }
            bystander.finish(&pair, "a client's interceptor").await;
        }
    });
}
