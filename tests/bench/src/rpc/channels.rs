//! A pair of tokio channels, there and back, on one thread: the least that two tasks can talk by.

use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Until, Work, payload};

/// As many messages as a call's window holds.
const SLOTS: usize = 1024;

/// Does the work with a task at the other end, and says how often.
pub(crate) async fn work(work: Work, until: Instant) -> u64 {
    match work {
        Work::Echo { in_flight, bytes } => echo(in_flight, bytes, until).await,
        Work::Sink { bytes } | Work::Generate { bytes } => sink(bytes, until).await,
        Work::Unary { .. } => unreachable!("channels make no calls"),
    }
}

async fn echo(in_flight: usize, bytes: usize, until: Instant) -> u64 {
    let (there, mut at_server) = mpsc::channel::<Bytes>(SLOTS);
    let (back, mut at_client) = mpsc::channel::<Bytes>(SLOTS);
    let server = tokio::spawn(async move {
        let mut batch = Vec::new();
        while at_server.recv_many(&mut batch, SLOTS).await > 0 {
            for message in batch.drain(..) {
                if back.send(message).await.is_err() {
                    return;
                }
            }
        }
    });
    let message = payload(bytes);
    for _ in 0..in_flight {
        there.send(message.clone()).await.expect("the server runs");
    }
    let mut until = Until::new(until);
    let mut answered = 0;
    let mut under_way = in_flight;
    let mut batch = Vec::new();
    while under_way > 0 {
        at_client.recv_many(&mut batch, SLOTS).await;
        for message in batch.drain(..) {
            answered += 1;
            if until.over() {
                under_way -= 1;
            } else {
                there.send(message).await.expect("the server runs");
            }
        }
    }
    drop(there);
    server.await.expect("no panic");
    answered
}

async fn sink(bytes: usize, until: Instant) -> u64 {
    let (there, mut at_server) = mpsc::channel::<Bytes>(SLOTS);
    let server = tokio::spawn(async move {
        let mut messages = 0;
        let mut batch = Vec::new();
        while at_server.recv_many(&mut batch, SLOTS).await > 0 {
            messages += batch.drain(..).len() as u64;
        }
        messages
    });
    let message = payload(bytes);
    let mut until = Until::new(until);
    while !until.over() {
        there.send(message.clone()).await.expect("the server runs");
    }
    drop(there);
    server.await.expect("no panic")
}
