//! The link: the SDK at one end, the link machine under the real driver at the other, HTTP/2 between.

use std::{future::Future, net::SocketAddr, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_core::{
    Time,
    link::service::{Input, LinkConfig, Output, ServiceLink},
};
use headwater_http2::{Http2Server, Http2ServerConfig};
use headwater_proto::v1::{self, service_frame::Frame};
use headwater_rpc::{IncomingCall, Router, Server, ServerConfig};
use headwater_upstream::{
    Context, Failure, Handler, Mapping, Message, Reply, Upstream, UpstreamConfig,
};
use prost::Message as _;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::{
    contender::{Order, Orders, on_own_thread},
    link::work::{Finish, event, payload},
};

struct Echo;

#[async_trait]
impl Handler for Echo {
    async fn message(&self, _: &Context, message: Message) -> Result<Reply, Failure> {
        Ok(message.payload.into())
    }
}

/// Event and ack in the lanes of one link, without a hub.
pub(crate) struct LinkOverHttp2(Orders<usize>);

impl LinkOverHttp2 {
    pub(crate) fn start() -> Self {
        Self(start(|call, mut orders| async move {
            let mut service = Service::new(call).await;
            while let Some(order) = orders.recv().await {
                service.obey(order).await;
            }
        }))
    }
}

impl LinkOverHttp2 {
    pub(crate) fn run(&self, in_flight: usize, duration: Duration) -> u64 {
        self.0.run(in_flight, duration)
    }
}

/// Starts an upstream that echoes, and `service` with the call that it makes.
pub(crate) fn start<S, F>(service: S) -> Orders<usize>
where
    S: FnOnce(IncomingCall, UnboundedReceiver<Order<usize>>) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (orders, received) = Orders::new();
    let (address, bound) = std::sync::mpsc::channel();
    on_own_thread("server", move || async move {
        let server = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default())
            .await
            .expect("a free port");
        address.send(server.local_addr()).expect("waits for it");
        let (sender, mut calls) = mpsc::unbounded_channel();
        let router = Router::new();
        router.stream("/headwater.v1.Upstream/Link", move |call| {
            let sent = sender.send(call);
            async move { sent.expect("the service's end runs") }
        });
        let server = Server::new(server, router, ServerConfig::default());
        tokio::spawn(async move { server.serve().await });
        let call = calls.recv().await.expect("the upstream dials in");
        service(call, received).await;
    });
    let address = bound.recv().expect("the service's end listens");
    on_own_thread("client", move || upstream(address, Mapping::Stream));
    orders
}

/// The application, which echoes.
pub(crate) async fn upstream(address: SocketAddr, mapping: Mapping) {
    let config = UpstreamConfig {
        url: format!("http://{address}"),
        hub: "bench".into(),
        mapping,
        ..UpstreamConfig::default()
    };
    let upstream = Upstream::new(config, Echo).expect("configured");
    upstream.run().await.expect("not refused");
}

/// The service's end, with a source of events in place of a hub.
struct Service {
    call: IncomingCall,
    machine: ServiceLink,
    received: Vec<Bytes>,
    frames: Vec<Bytes>,
    event_seq: u64,
    number: u64,
    payload: Bytes,
}

impl Service {
    async fn new(call: IncomingCall) -> Self {
        let mut service = Self {
            call,
            machine: ServiceLink::new(LinkConfig::default(), Time::ZERO),
            received: Vec::new(),
            frames: Vec::new(),
            event_seq: 0,
            number: 0,
            payload: payload(),
        };
        let acks = service.acks().await;
        assert!(acks.is_empty(), "`register` comes first");
        service.say(Frame::Registered(Box::default()));
        service.flush();
        service
    }

    async fn obey(&mut self, order: Order<usize>) {
        let mut finish = Finish::new(order.until);
        for connection in 0..order.work {
            self.say_event(connection);
        }
        self.flush();
        let mut under_way = order.work;
        while under_way > 0 {
            for ack in self.acks().await {
                let id = ack.id.expect("of an event").connection_id;
                if finish.answered() {
                    let connection = id.rsplit('-').next().and_then(|it| it.parse().ok());
                    self.say_event(connection.expect("one of ours"));
                } else {
                    under_way -= 1;
                }
            }
            self.flush();
        }
        order
            .answered
            .send(finish.events())
            .expect("waits for the count");
    }

    /// The acks that came together.
    async fn acks(&mut self) -> Vec<v1::Ack> {
        let receiver = &mut self.call.receiver;
        let read = receiver.next_batch(&mut self.received).await;
        assert!(read.is_ok_and(|read| read > 0), "the link is up");
        let mut acks = Vec::new();
        for message in self.received.drain(..) {
            self.machine.handle(Input::Message(message), Time::ZERO);
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Ack(ack) => acks.push(*ack),
                    Output::Register(_) | Output::Settled(_) => {}
                    Output::Command(_)
                    | Output::Drain
                    | Output::Authenticate(_)
                    | Output::Transmit(_)
                    | Output::End(_) => panic!("unexpected: {output:?}"),
                }
            }
        }
        acks
    }

    fn say_event(&mut self, connection: usize) {
        self.event_seq += 1;
        self.number += 1;
        let event = event(self.event_seq, connection, self.number, &self.payload);
        self.say(Frame::Event(Box::new(event)));
    }

    fn say(&mut self, frame: Frame) {
        let frame = v1::ServiceFrame { frame: Some(frame) };
        self.frames.push(frame.encode_to_vec().into());
    }

    fn flush(&mut self) {
        let count = self.frames.len();
        if count == 0 {
            return;
        }
        let sent = self.call.sender.try_send_all(self.frames.drain(..));
        assert_eq!(sent, Ok(count), "the window is large enough");
    }
}
