//! What a call is: shapes, metadata, status, limits.

use bytes::Bytes;
use headwater_conformance::{
    Fixture,
    control::{ECHO, FAIL, RUN},
    for_each_transport,
};
use headwater_rpc::{CallOptions, Code, Metadata, Receiver, Sender, Shape, Status};

fn say(sender: &Sender, line: impl Into<String>) {
    sender
        .try_send(Bytes::from(line.into()))
        .expect("there is room");
}

fn done(sender: &Sender) {
    sender
        .finish(Ok(()), Metadata::new())
        .expect("the call is open");
}

/// All messages to the end, and how the call ended.
async fn read(receiver: &mut Receiver) -> (Vec<Bytes>, Result<(), Status>) {
    let mut messages = Vec::new();
    loop {
        match receiver.next_batch(&mut messages).await {
            Ok(0) => return (messages, Ok(())),
            Ok(_) => {}
            Err(error) => return (messages, Err(error.status)),
        }
    }
}

#[test]
fn unary_answers() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        for text in ["", "hello", &"x".repeat(100_000)] {
            assert_eq!(
                pair.unary(ECHO, text).await,
                Ok(Bytes::from(text.to_owned()))
            );
        }
    });
}

#[test]
fn a_status_comes_with_code_and_unicode_message() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n 100 %";
        let expected = Status::new(Code::NotFound, message);
        assert_eq!(
            pair.unary(FAIL, &format!("5 {message}")).await,
            Err(expected)
        );
    });
}

#[test]
fn an_unknown_method_is_unimplemented() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let error = pair
            .unary("/no.Such/Method", "x")
            .await
            .expect_err("there is none");
        assert_eq!(error.code, Code::Unimplemented);
    });
}

#[test]
fn many_messages_go_both_ways_in_order() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        for index in 0..500 {
            say(&sender, format!("echo {index}"));
        }
        done(&sender);
        let (messages, outcome) = read(&mut receiver).await;
        let expected: Vec<_> = (0..500)
            .map(|index| Bytes::from(index.to_string()))
            .collect();
        assert_eq!((messages, outcome), (expected, Ok(())));
        let _ = CallOptions {
            shape: Shape::Bidirectional,
            ..CallOptions::default()
        };
    });
}
