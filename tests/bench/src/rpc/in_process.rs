//! Calls of bytes within the process, on one thread, as the channels carry them.

use std::time::Instant;

use headwater_rpc::{
    CallOptions, Client, IncomingCall, Metadata, Receiver, Router, Sender, Server, ServerConfig,
};

use super::{Until, Work, payload};

const ECHO: &str = "/bench.Bench/Echo";
const SINK: &str = "/bench.Bench/Sink";

/// Does the work on one call to a server of its own, and says how often.
pub(crate) async fn work(work: Work, until: Instant) -> u64 {
    let router = Router::new();
    router.stream(ECHO, echo);
    router.stream(SINK, sink);
    let (client, server) = headwater_in_process::pair();
    let server = Server::new(server, router, ServerConfig::default());
    let client = Client::new(client);
    let connecting = client.clone();
    let running = [
        tokio::spawn(async move { server.serve().await }),
        tokio::spawn(async move { connecting.connect().await }),
    ];
    let path = match work {
        Work::Unary { .. } => unreachable!("channels make no calls"),
        Work::Echo { .. } => ECHO,
        Work::Sink { .. } | Work::Generate { .. } => SINK,
    };
    let call = client.call(path, Metadata::new(), CallOptions::default());
    let halves = call.await.expect("it opens");
    let done = match work {
        Work::Echo { in_flight, bytes } => keep_echoing(halves, in_flight, bytes, until).await,
        Work::Sink { bytes } | Work::Generate { bytes } => keep_sending(halves, bytes, until).await,
        Work::Unary { .. } => unreachable!("it has no path"),
    };
    running.iter().for_each(tokio::task::JoinHandle::abort);
    done
}

async fn keep_sending(
    (sender, mut receiver): (Sender, Receiver),
    bytes: usize,
    until: Instant,
) -> u64 {
    let message = payload(bytes);
    let mut until = Until::new(until);
    let mut sent = 0;
    while !until.over() {
        sender.send(message.clone()).await.expect("open");
        sent += 1;
    }
    sender.finish(Ok(()), Metadata::new()).expect("open");
    let end = receiver.next_batch(&mut Vec::new()).await;
    assert_eq!(end, Ok(0), "the server has read all");
    sent
}

async fn keep_echoing(
    (sender, mut receiver): (Sender, Receiver),
    in_flight: usize,
    bytes: usize,
    until: Instant,
) -> u64 {
    let message = payload(bytes);
    for _ in 0..in_flight {
        sender.send(message.clone()).await.expect("open");
    }
    let mut until = Until::new(until);
    let mut answered = 0;
    let mut under_way = in_flight;
    let mut batch = Vec::new();
    while under_way > 0 {
        receiver.next_batch(&mut batch).await.expect("open");
        for message in batch.drain(..) {
            answered += 1;
            if until.over() {
                under_way -= 1;
            } else {
                sender.send(message).await.expect("open");
            }
        }
    }
    answered
}

async fn echo(call: IncomingCall) {
    let IncomingCall {
        mut receiver,
        sender,
        ..
    } = call;
    let mut batch = Vec::new();
    while let Ok(1..) = receiver.next_batch(&mut batch).await {
        for message in batch.drain(..) {
            if sender.send(message).await.is_err() {
                return;
            }
        }
    }
    let _ = sender.finish(Ok(()), Metadata::new());
}

async fn sink(call: IncomingCall) {
    let IncomingCall {
        mut receiver,
        sender,
        ..
    } = call;
    let mut batch = Vec::new();
    while let Ok(1..) = receiver.next_batch(&mut batch).await {
        batch.clear();
    }
    let _ = sender.finish(Ok(()), Metadata::new());
}
