//! One tonic unary call an event, on one connection, as its generated code makes it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use headwater_proto::v1;
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{NamedService, UnaryService},
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tower::Service;

use crate::{
    contender::{Order, Orders, on_own_thread},
    link::work::{Finish, event, payload},
};

/// Event as request, ack as response.
pub(crate) struct UnaryOverTonic(Orders<usize>);

impl UnaryOverTonic {
    pub(crate) fn start() -> Self {
        let (address, bound) = std::sync::mpsc::channel();
        on_own_thread("server", move || async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let local = listener.local_addr().expect("bound");
            address.send(local).expect("waits for it");
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let serving = Server::builder().serve_with_incoming(Bench, incoming);
            serving.await.expect("serves");
        });
        let address = bound.recv().expect("the application listens");
        let (orders, mut received) = Orders::new();
        on_own_thread("client", move || async move {
            let endpoint: Endpoint = format!("http://{address}").parse().expect("a URL");
            let channel = endpoint.tcp_nodelay(true).connect().await.expect("listens");
            while let Some(order) = received.recv().await {
                obey(&channel, order).await;
            }
        });
        Self(orders)
    }
}

impl UnaryOverTonic {
    pub(crate) fn run(&self, in_flight: usize, duration: Duration) -> u64 {
        self.0.run(in_flight, duration)
    }
}

/// What tonic's code generator writes for a service of one method.
#[derive(Clone)]
struct Bench;

impl NamedService for Bench {
    const NAME: &'static str = "bench.Bench";
}

impl Service<http::Request<Body>> for Bench {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let codec = ProstCodec::<v1::Ack, v1::Event>::default();
            Ok(tonic::server::Grpc::new(codec).unary(Echo, request).await)
        })
    }
}

struct Echo;

impl UnaryService<v1::Event> for Echo {
    type Response = v1::Ack;
    type Future = Ready<Result<Response<v1::Ack>, Status>>;

    fn call(&mut self, request: Request<v1::Event>) -> Self::Future {
        let event = request.into_inner();
        let payload = match event.event {
            Some(v1::event::Event::Message(message)) => message.payload,
            Some(
                v1::event::Event::Connect(_)
                | v1::event::Event::Connected(_)
                | v1::event::Event::Disconnected(_),
            )
            | None => None,
        };
        let reply = v1::Reply {
            payload,
            state: None,
        };
        ready(Ok(Response::new(v1::Ack {
            seq: event.seq,
            id: event.id,
            answer: Some(v1::ack::Answer::Reply(reply)),
        })))
    }
}

async fn obey(channel: &Channel, order: Order<usize>) {
    let mut seq = 0;
    let payload = payload();
    let mut finish = Finish::new(order.until);
    let mut under_way = FuturesUnordered::new();
    for connection in 0..order.work {
        seq += 1;
        let event = event(seq, connection, seq, &payload);
        under_way.push(call(channel.clone(), connection, event));
    }
    while let Some(connection) = under_way.next().await {
        if finish.answered() {
            seq += 1;
            let event = event(seq, connection, seq, &payload);
            under_way.push(call(channel.clone(), connection, event));
        }
    }
    order
        .answered
        .send(finish.events())
        .expect("waits for the count");
}

async fn call(channel: Channel, connection: usize, event: v1::Event) -> usize {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("connected");
    let codec = ProstCodec::<v1::Event, v1::Ack>::default();
    let path = PathAndQuery::from_static("/bench.Bench/Event");
    let ack = client.unary(Request::new(event), path, codec).await;
    assert!(ack.expect("answered").into_inner().answer.is_some());
    connection
}
