//! What tonic's generator makes, with tonic's own defaults, the way its documentation uses it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream, stream::FuturesUnordered};
use tokio::{
    net::TcpListener,
    sync::mpsc::{self, UnboundedReceiver},
};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    client::GrpcService,
    codegen::{self, StdError},
    transport::{Endpoint, Server, server::TcpIncoming},
};

use super::{SMALL, Until, Work, payload};
use crate::contender::{Order, Orders, on_own_thread};

#[allow(missing_docs, unreachable_pub, clippy::wildcard_enum_match_arm)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tonic/bench.rs"));
}

use generated::{Count, Message, bench_server::Bench};
pub(crate) use generated::{bench_client::BenchClient, bench_server::BenchServer};

/// Slots of the channel that feeds a stream of requests.
const SLOTS: usize = 128;

/// What tonic's generated client can send its calls through.
pub(crate) trait Transport:
    GrpcService<
        Body,
        Error: Into<StdError>,
        Future: Send,
        ResponseBody: codegen::Body<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
    > + Clone
    + Send
    + 'static
{
}

impl<T> Transport for T where
    T: GrpcService<
            Body,
            Error: Into<StdError>,
            Future: Send,
            ResponseBody: codegen::Body<Data = Bytes, Error: Into<StdError> + Send>
                              + Send
                              + 'static,
        > + Clone
        + Send
        + 'static
{
}

/// How often either end asks whether the other is there, if it does: as our server does by default.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// A tonic server and a tonic client. By its own defaults tonic never asks whether the other end is still there.
pub(crate) fn start(keepalive: bool) -> Orders<Work> {
    let keepalive = keepalive.then_some(KEEPALIVE);
    let (address, bound) = std::sync::mpsc::channel();
    on_own_thread("server", move || async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let local = listener.local_addr().expect("bound");
        address.send(local).expect("waits for it");
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let mut server = Server::builder().http2_keepalive_interval(keepalive);
        let server = server.add_service(BenchServer::new(Service));
        server.serve_with_incoming(incoming).await.expect("serves");
    });
    let address = bound.recv().expect("the server listens");
    let (orders, received) = Orders::new();
    on_own_thread("client", move || async move {
        let url = format!("http://{address}");
        let mut endpoint = Endpoint::from_shared(url).expect("a url");
        if let Some(interval) = keepalive {
            endpoint = endpoint.http2_keep_alive_interval(interval);
        }
        let channel = endpoint.connect().await.expect("listens");
        obey(BenchClient::new(channel), received).await;
    });
    orders
}

/// Does as it is told for as long as there are orders.
pub(crate) async fn obey<T: Transport>(
    client: BenchClient<T>,
    mut orders: UnboundedReceiver<Order<Work>>,
) {
    while let Some(Order {
        work,
        until,
        answered,
    }) = orders.recv().await
    {
        let client = client.clone();
        let done = match work {
            Work::Unary { callers } => unary(client, callers, until).await,
            Work::Echo { in_flight, bytes } => echo(client, in_flight, bytes, until).await,
            Work::Sink { bytes } => sink(client, bytes, until).await,
            Work::Generate { bytes } => generate(client, bytes, until).await,
        };
        answered.send(done).expect("waits for the count");
    }
}

/// The server's side of the works.
pub(crate) struct Service;

#[tonic::async_trait]
impl Bench for Service {
    type EchoStream = std::pin::Pin<Box<dyn Stream<Item = Result<Message, Status>> + Send>>;

    async fn unary(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn echo(
        &self,
        request: Request<Streaming<Message>>,
    ) -> Result<Response<Self::EchoStream>, Status> {
        Ok(Response::new(Box::pin(request.into_inner())))
    }

    async fn sink(&self, request: Request<Streaming<Message>>) -> Result<Response<Count>, Status> {
        let mut requests = request.into_inner();
        let mut messages = 0;
        while requests.message().await?.is_some() {
            messages += 1;
        }
        Ok(Response::new(Count { messages }))
    }
}

async fn unary<T: Transport>(client: BenchClient<T>, callers: usize, until: Instant) -> u64 {
    let data = payload(SMALL);
    let callers: FuturesUnordered<_> = (0..callers)
        .map(|_| tokio::spawn(calls(client.clone(), data.clone(), until)))
        .collect();
    callers
        .fold(0, |sum, done| async move { sum + done.expect("no panic") })
        .await
}

async fn calls<T: Transport>(mut client: BenchClient<T>, data: Bytes, until: Instant) -> u64 {
    let mut until = Until::new(until);
    let mut done = 0;
    while !until.over() {
        let data = data.clone();
        let answer = client.unary(Message { data }).await.expect("answered");
        assert_eq!(answer.into_inner().data.len(), SMALL);
        done += 1;
    }
    done
}

async fn echo<T: Transport>(
    mut client: BenchClient<T>,
    in_flight: usize,
    bytes: usize,
    until: Instant,
) -> u64 {
    let (sender, receiver) = mpsc::channel(SLOTS);
    let data = payload(bytes);
    for _ in 0..in_flight {
        let data = data.clone();
        sender.send(Message { data }).await.expect("room");
    }
    let responses = client.echo(received(receiver)).await.expect("it opens");
    let mut responses = responses.into_inner();
    let mut until = Until::new(until);
    let mut answered = 0;
    let mut under_way = in_flight;
    while under_way > 0 {
        let message = responses.message().await.expect("open").expect("echoed");
        answered += 1;
        if until.over() {
            under_way -= 1;
        } else {
            sender.send(message).await.expect("open");
        }
    }
    drop(sender);
    // To the end: over HTTP/3, a response that is dropped before takes its task down in h3-quinn 0.0.10.
    let end = responses.message().await.expect("a good end");
    assert!(end.is_none(), "all were counted");
    answered
}

/// As applications send: from wherever messages come up, through a channel.
async fn sink<T: Transport>(mut client: BenchClient<T>, bytes: usize, until: Instant) -> u64 {
    let (sender, receiver) = mpsc::channel(SLOTS);
    let call = tokio::spawn(async move { client.sink(received(receiver)).await });
    let data = payload(bytes);
    let mut until = Until::new(until);
    while !until.over() {
        let data = data.clone();
        sender.send(Message { data }).await.expect("open");
    }
    drop(sender);
    let count = call.await.expect("no panic").expect("counted");
    count.into_inner().messages
}

/// Without anything between: the call makes its messages itself.
async fn generate<T: Transport>(mut client: BenchClient<T>, bytes: usize, until: Instant) -> u64 {
    let data = payload(bytes);
    let mut until = Until::new(until);
    let requests = stream::iter(std::iter::from_fn(move || {
        let data = data.clone();
        (!until.over()).then_some(Message { data })
    }));
    let count = client.sink(requests).await.expect("counted");
    count.into_inner().messages
}

fn received(receiver: mpsc::Receiver<Message>) -> impl Stream<Item = Message> {
    stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    })
}
