//! What our own generator makes, over any transport.

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_rpc::{
    Client, ClientTransport, Router, Server, ServerConfig, ServerTransport, Status,
    stub::{Messages, Sink},
};

use super::{SMALL, Until, Work, payload};
use crate::contender::{Order, Orders, on_own_thread};

#[allow(missing_docs, unreachable_pub)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/headwater/bench.rs"));
}

use generated::{Bench, BenchClient, BenchServer, Count, Message};

/// Over HTTP/2.
pub(crate) fn over_http2() -> Orders<Work> {
    let bind = async {
        let transport = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default()).await;
        let transport = transport.expect("a free port");
        (transport.local_addr(), transport)
    };
    start(bind, |address| {
        let url = format!("http://{address}");
        Http2Client::new(&url, &Http2ClientConfig::default()).expect("a URL")
    })
}

/// A server of the generated stubs on the transport that `bind` gives with its address, and a client of them on the one
/// that `connect` makes for that address.
pub(crate) fn start<S: ServerTransport, C: ClientTransport>(
    bind: impl Future<Output = (SocketAddr, S)> + Send + 'static,
    connect: impl FnOnce(SocketAddr) -> C + Send + 'static,
) -> Orders<Work> {
    let (address, bound) = std::sync::mpsc::channel();
    on_own_thread("server", move || async move {
        let router = Router::new();
        let added = router.add(BenchServer::new(Service).into_service());
        added.expect("the only service");
        let (local, transport) = bind.await;
        address.send(local).expect("waits for it");
        let server = Server::new(transport, router, ServerConfig::default());
        server.serve().await.expect("serves");
    });
    let address = bound.recv().expect("the server listens");
    let (orders, mut received) = Orders::<Work>::new();
    on_own_thread("client", move || async move {
        let client = Client::new(connect(address));
        let connecting = client.clone();
        tokio::spawn(async move { connecting.connect().await });
        let client = BenchClient::new(client);
        while let Some(Order {
            work,
            until,
            answered,
        }) = received.recv().await
        {
            let done = match work {
                Work::Unary { callers } => unary(&client, callers, until).await,
                Work::Echo { in_flight, bytes } => echo(&client, in_flight, bytes, until).await,
                Work::Sink { bytes } | Work::Generate { bytes } => {
                    sink(&client, bytes, until).await
                }
            };
            answered.send(done).expect("waits for the count");
        }
    });
    orders
}

struct Service;

impl Bench for Service {
    async fn unary(&self, request: Message) -> Result<Message, Status> {
        Ok(request)
    }

    async fn echo(
        &self,
        mut requests: Messages<Message>,
        responses: Sink<Message>,
    ) -> Result<(), Status> {
        let mut batch = Vec::new();
        while requests.next_batch(&mut batch).await? > 0 {
            responses.send_all(&batch).await?;
            batch.clear();
        }
        Ok(())
    }

    async fn sink(&self, mut requests: Messages<Message>) -> Result<Count, Status> {
        let mut messages = 0;
        while requests.message().await?.is_some() {
            messages += 1;
        }
        Ok(Count { messages })
    }
}

async fn unary(client: &BenchClient, callers: usize, until: Instant) -> u64 {
    let data = payload(SMALL);
    let callers: FuturesUnordered<_> = (0..callers)
        .map(|_| tokio::spawn(calls(client.clone(), data.clone(), until)))
        .collect();
    callers
        .fold(0, |sum, done| async move { sum + done.expect("no panic") })
        .await
}

async fn calls(client: BenchClient, data: Bytes, until: Instant) -> u64 {
    let mut until = Until::new(until);
    let mut done = 0;
    while !until.over() {
        let data = data.clone();
        let answer = client.unary(Message { data }).await.expect("answered");
        assert_eq!(answer.data.len(), SMALL);
        done += 1;
    }
    done
}

async fn echo(client: &BenchClient, in_flight: usize, bytes: usize, until: Instant) -> u64 {
    let (sink, mut messages) = client.echo().await.expect("it opens");
    let data = payload(bytes);
    let first = vec![Message { data }; in_flight];
    sink.send_all(&first).await.expect("open");
    let mut until = Until::new(until);
    let mut answered = 0;
    let mut under_way = in_flight;
    let mut batch = Vec::new();
    while under_way > 0 {
        batch.clear();
        messages.next_batch(&mut batch).await.expect("open");
        answered += batch.len() as u64;
        let before = batch.len();
        batch.retain(|_| !until.over());
        under_way -= before - batch.len();
        sink.send_all(&batch).await.expect("open");
    }
    answered
}

async fn sink(client: &BenchClient, bytes: usize, until: Instant) -> u64 {
    let request = headwater_rpc::stub::Request::new(());
    let (sink, mut messages) = client.sink_streaming(request).await.expect("it opens");
    let data = payload(bytes);
    let mut until = Until::new(until);
    while !until.over() {
        let data = data.clone();
        sink.send(Message { data }).await.expect("open");
    }
    sink.finish().expect("open");
    let count = messages.message().await.expect("counted");
    count.expect("one response").messages
}
