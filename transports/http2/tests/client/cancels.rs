//! S4-28: a call that is given up is reset at once, whatever its stream waits for.

use bytes::Bytes;
use h2::Reason;
use headwater_rpc::{CallOptions, Metadata, Receiver, SendError, Sender};

use crate::support::{Pair, Stream, headers, message, soon, trailers};

async fn open(pair: &mut Pair) -> (Sender, Receiver, Stream) {
    let call = pair
        .client
        .call("/t.T/X", Metadata::new(), CallOptions::default());
    let (sender, receiver) = call.await.expect("it opens");
    (sender, receiver, pair.server.stream().await)
}

/// Sends until the server's window and the call's own are full.
async fn fill(sender: &Sender) {
    let message = Bytes::from(vec![0; 16 << 10]);
    loop {
        while sender.try_send(message.clone()).is_ok() {}
        assert_eq!(sender.try_send(message.clone()), Err(SendError::Blocked));
        // Full for good, if nothing moves while everybody else runs.
        let mut idle = 0;
        while idle < 1000 && sender.try_send(Bytes::new()) == Err(SendError::Blocked) {
            tokio::task::yield_now().await;
            idle += 1;
        }
        if idle == 1000 {
            return;
        }
    }
}

#[tokio::test]
async fn s4_28_before_the_servers_headers() {
    let mut pair = Pair::new().await;
    let (sender, receiver, mut stream) = open(&mut pair).await;
    drop((sender, receiver));
    assert_eq!(stream.reset().await, Reason::CANCEL);
}

#[tokio::test]
async fn s4_28_while_held_back_by_the_window() {
    let mut pair = Pair::new().await;
    let (sender, receiver, mut stream) = open(&mut pair).await;
    fill(&sender).await;
    sender.cancel();
    assert_eq!(stream.reset().await, Reason::CANCEL);
    drop(receiver);
}

#[tokio::test]
async fn s4_28_half_closed_and_before_the_headers() {
    let mut pair = Pair::new().await;
    let (sender, receiver, mut stream) = open(&mut pair).await;
    sender.try_send(Bytes::from("x")).expect("room");
    sender.finish(Ok(()), Metadata::new()).expect("open");
    let body = stream.request.body_mut();
    soon("the message", body.data())
        .await
        .expect("a message")
        .expect("open");
    soon("the half-close", async {
        while body.data().await.is_some() {}
    })
    .await;
    drop((sender, receiver));
    assert_eq!(stream.reset().await, Reason::CANCEL);
}

#[tokio::test]
async fn s4_28_half_closed_and_held_back_by_the_window() {
    let mut pair = Pair::new().await;
    let large = Bytes::from(vec![0; 1 << 20]);
    let (metadata, options) = (Metadata::new(), CallOptions::default());
    let client = pair.client.clone();
    let call = tokio::spawn(async move {
        let call = client.unary("/t.T/X", metadata, large, options);
        call.await
    });
    let mut stream = pair.server.stream().await;
    call.abort();
    assert_eq!(stream.reset().await, Reason::CANCEL);
}

#[tokio::test]
async fn s4_28_while_the_responses_are_read() {
    let mut pair = Pair::new().await;
    let (sender, mut receiver, mut stream) = open(&mut pair).await;
    let response = stream.respond.send_response(headers(), false);
    let mut body = response.expect("open");
    body.send_data(message(), false).expect("open");
    let mut messages = Vec::new();
    receiver.next_batch(&mut messages).await.expect("a message");
    drop((sender, receiver));
    assert_eq!(reset(&mut body).await, Reason::CANCEL);
}

/// A server may end a call that it does not read to the end: nothing of it stays behind, also when it held the client
/// back and sends no reset.
#[tokio::test]
async fn a_call_that_the_server_ends_unread_is_reset() {
    for half_closed in [false, true] {
        let mut pair = Pair::new().await;
        let (sender, mut receiver, mut stream) = open(&mut pair).await;
        fill(&sender).await;
        if half_closed {
            sender.finish(Ok(()), Metadata::new()).expect("open");
        }
        ends_unread(&mut stream, &mut receiver, half_closed).await;
    }
}

/// The same of a call all of which was given to HTTP/2 when it was opened.
#[tokio::test]
async fn a_large_call_that_the_server_ends_unread_is_reset() {
    let mut pair = Pair::new().await;
    let client = pair.client.clone();
    let call = tokio::spawn(async move {
        let large = Bytes::from(vec![0; 1 << 20]);
        let (metadata, options) = (Metadata::new(), CallOptions::default());
        let call = client.unary("/t.T/X", metadata, large, options);
        call.await
    });
    let mut stream = pair.server.stream().await;
    let mut body = answer_unread(&mut stream);
    let answer = soon("the answer", call).await.expect("no panic");
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(reset(&mut body).await, Reason::CANCEL);
}

/// Answers without reading anything.
fn answer_unread(stream: &mut Stream) -> h2::SendStream<Bytes> {
    let response = stream.respond.send_response(headers(), false);
    let mut body = response.expect("open");
    body.send_data(message(), false).expect("open");
    body.send_trailers(trailers("0")).expect("open");
    body
}

async fn reset(body: &mut h2::SendStream<Bytes>) -> Reason {
    let reset = std::future::poll_fn(|cx| body.poll_reset(cx));
    soon("a reset", reset).await.expect("the connection is up")
}

async fn ends_unread(stream: &mut Stream, receiver: &mut Receiver, half_closed: bool) {
    let mut body = answer_unread(stream);
    let mut messages = Vec::new();
    while soon("the status", receiver.next_batch(&mut messages)).await != Ok(0) {}
    assert_eq!(messages.len(), 1, "it is a success");
    assert_eq!(reset(&mut body).await, Reason::CANCEL, "{half_closed}");
}
