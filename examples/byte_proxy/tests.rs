//! The cases of the conformance suite's service, through a proxy.

use std::time::Duration;

use bytes::Bytes;
use clap::CommandFactory as _;
use headwater_conformance::{
    Fixture, TRANSPORTS,
    control::{ECHO, FAIL, RUN, WAIT, done, read, say},
};
use headwater_rpc::{CallOptions, CancelReason, Code, Metadata, Status};

use crate::{Arguments, forward};

/// Beyond this a case hangs; no case waits for it.
const HANG: Duration = Duration::from_secs(30);

/// A client, a proxy and a server, for each pair of transports between them.
fn through_a_proxy(case: impl AsyncFn(&Fixture, &Fixture)) {
    for &front in TRANSPORTS {
        for &back in TRANSPORTS {
            eprintln!("from {front:?} to {back:?}");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built");
            runtime.block_on(async {
                let back = Fixture::new(back).await;
                let front = Fixture::new(front).await;
                for path in front.router.paths() {
                    front.router.remove(&path);
                }
                forward::serve_on(&front.router, back.client.clone());
                let done = tokio::time::timeout(HANG, case(&front, &back)).await;
                done.expect("the case hangs");
            });
        }
    }
}

#[test]
fn s4_34_bytes_metadata_and_status_pass_through_a_proxy_without_stubs() {
    through_a_proxy(async |front, _| {
        for text in ["", "hello", &"x".repeat(100_000)] {
            assert_eq!(
                front.unary(ECHO, text).await,
                Ok(Bytes::from(text.to_owned()))
            );
        }
        let failed = front.unary(FAIL, "5 nothing here").await;
        assert_eq!(failed, Err(Status::new(Code::NotFound, "nothing here")));
        let unknown = front.unary("/nobody.Knows/This", "").await;
        assert_eq!(unknown.unwrap_err().code, Code::Unimplemented);

        let (sender, mut receiver) = front.call(RUN).await;
        say(&sender, "headers began yes");
        say(&sender, "echo one");
        let headers = receiver.headers().await.unwrap_or_default();
        assert_eq!(headers.text("began"), Some("yes"));
        let mut batch = Vec::new();
        let count = receiver.next_batch(&mut batch).await;
        assert_eq!((count, &batch[..]), (Ok(1), &[Bytes::from("one")][..]));
        say(&sender, "trailer ended yes");
        say(&sender, "send 500 1000");
        say(&sender, "status 10 enough");
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!(messages.len(), 500);
        assert_eq!(outcome, Err(Status::new(Code::Aborted, "enough")));
        let trailers = receiver.trailers().unwrap_or_default();
        assert_eq!(trailers.text("ended"), Some("yes"));
    });
}

#[test]
fn s4_34_the_half_close_passes() {
    through_a_proxy(async |front, _| {
        let (sender, mut receiver) = front.call(RUN).await;
        for line in ["count", "a", "bb", "ccc"] {
            say(&sender, line);
        }
        done(&sender);
        assert_eq!(
            read(&mut receiver).await,
            (vec![Bytes::from("3 6")], Ok(()))
        );
    });
}

#[test]
fn s4_34_request_metadata_passes() {
    through_a_proxy(async |front, back| {
        back.router.unary("/x.Y/Metadata", |request| async move {
            let text = request.metadata.text("who").unwrap_or_default();
            Ok(Bytes::from(text.to_owned()))
        });
        let mut metadata = Metadata::new();
        metadata.append("who", "me").unwrap();
        let options = CallOptions::default();
        let answer = front
            .client
            .unary("/x.Y/Metadata", metadata, Bytes::new(), options);
        assert_eq!(answer.await, Ok(Bytes::from("me")));
    });
}

#[test]
fn s4_34_cancellation_and_deadlines_pass() {
    through_a_proxy(async |front, back| {
        let (sender, receiver) = front.call(WAIT).await;
        sender.try_send(Bytes::new()).unwrap();
        done(&sender);
        back.control.started().await;
        drop((sender, receiver));
        assert_eq!(back.control.next_cancel().await, CancelReason::Peer);

        let options = CallOptions {
            timeout: Some(Duration::from_millis(50)),
            ..CallOptions::default()
        };
        let late = front
            .client
            .unary(WAIT, Metadata::new(), Bytes::new(), options);
        assert_eq!(late.await.unwrap_err().code, Code::DeadlineExceeded);
        // The server's own deadline, or the cancel of who was quicker.
        back.control.next_cancel().await;
    });
}

#[test]
fn s4_34_a_server_that_is_away_is_told() {
    through_a_proxy(async |front, back| {
        front.unary(ECHO, "").await.expect("it is there at first");
        back.serving.abort();
        let gone = async {
            // Over HTTP/2 the connection has to be found broken first.
            loop {
                if let Err(status) = front.unary(ECHO, "").await {
                    return status.code;
                }
            }
        };
        assert_eq!(gone.await, back.transport.stopped);
    });
}

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}
