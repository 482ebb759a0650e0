//! The link in plain calls: the SDK with the same handler at one end, the machine of the calls under the real driver at the
//! other, HTTP/2 between.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use headwater_core::{
    Time,
    link::calls::{
        ACK_MESSAGE, REGISTER,
        service::{Input, Kind, Output, ServiceCalls, Target},
        translate,
    },
};
use headwater_http2::{Http2Server, Http2ServerConfig};
use headwater_proto::{
    Status,
    v1::{self, service_frame::Frame},
    wps_rpc::{AckMessageRequest, RegisterMessage},
};
use headwater_rpc::{IncomingCall, Metadata, Router, Sender, Server, ServerConfig};
use headwater_upstream::Mapping;
use prost::Message as _;
use tokio::sync::mpsc;

use crate::{
    contender::{Order, Orders, on_own_thread},
    link::{
        over_http2::upstream,
        work::{Finish, event, payload},
    },
};

/// Event on a stream, ack in a call of its own, without a hub.
pub(crate) struct LinkOverCalls(Orders<usize>);

impl LinkOverCalls {
    pub(crate) fn start() -> Self {
        let (orders, mut received) = Orders::new();
        let (address, bound) = std::sync::mpsc::channel();
        on_own_thread("server", move || async move {
            let server = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default())
                .await
                .expect("a free port");
            address.send(server.local_addr()).expect("waits for it");
            let service: Arc<Mutex<Option<Service>>> = Arc::default();
            let (registered, mut registrations) = mpsc::unbounded_channel();
            let router = Router::new();
            let registers = Arc::clone(&service);
            router.stream(REGISTER, move |call| {
                let (service, registered) = (Arc::clone(&registers), registered.clone());
                async move { register(call, &service, registered).await }
            });
            let acks = Arc::clone(&service);
            router.unary(ACK_MESSAGE, move |request| {
                std::future::ready(locked(&acks, |service| service.ack(request.message)))
            });
            let server = Server::new(server, router, ServerConfig::default());
            tokio::spawn(async move { server.serve().await });
            registrations.recv().await.expect("the upstream dials in");
            while let Some(order) = received.recv().await {
                locked(&service, |service| service.obey(order));
            }
        });
        let address = bound.recv().expect("the service's end listens");
        on_own_thread("client", move || upstream(address, Mapping::Calls));
        Self(orders)
    }

    pub(crate) fn run(&self, in_flight: usize, duration: Duration) -> u64 {
        self.0.run(in_flight, duration)
    }
}

/// The service's end, with a source of events in place of a hub.
struct Service {
    sender: Sender,
    machine: ServiceCalls,
    run: Option<Run>,
    event_seq: u64,
    number: u64,
    payload: Bytes,
}

/// The order that is being obeyed.
struct Run {
    finish: Finish,
    under_way: usize,
    answered: std::sync::mpsc::Sender<u64>,
}

fn locked<T>(service: &Mutex<Option<Service>>, act: impl FnOnce(&mut Service) -> T) -> T {
    let mut service = service.lock().unwrap_or_else(PoisonError::into_inner);
    act(service.as_mut().expect("it has registered"))
}

async fn register(
    mut call: IncomingCall,
    service: &Mutex<Option<Service>>,
    registered: mpsc::UnboundedSender<()>,
) {
    let mut messages = Vec::new();
    let read = call.receiver.next_batch(&mut messages).await;
    assert!(read.is_ok_and(|read| read == 1), "the registration comes");
    let register = RegisterMessage::decode(messages.remove(0)).expect("decodable");
    let (machine, _) = ServiceCalls::new(register).expect("valid");
    let headers = call.sender.send_headers(Metadata::new());
    headers.expect("they are the first");
    let sender = call.sender.clone();
    *service.lock().unwrap_or_else(PoisonError::into_inner) = Some(Service {
        sender: call.sender,
        machine,
        run: None,
        event_seq: 0,
        number: 0,
        payload: payload(),
    });
    registered.send(()).expect("the service's end runs");
    sender.ended().await;
}

impl Service {
    fn obey(&mut self, order: Order<usize>) {
        self.run = Some(Run {
            finish: Finish::new(order.until),
            under_way: order.work,
            answered: order.answered,
        });
        for connection in 0..order.work {
            self.say_event(connection);
        }
    }

    /// Takes an answer, and asks the same connection again.
    fn ack(&mut self, request: Bytes) -> Result<Bytes, Status> {
        let ack = AckMessageRequest::decode(request).expect("decodable");
        let target = Target {
            connection_id: &ack.connection_id,
            event_id: ack.event_id,
            kind: Kind::Message,
        };
        let answer = translate::message_answer(ack.ack_event_message);
        self.machine.ack(target, answer)?;
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Ack(_) | Output::Settled(_) => {}
                Output::Registered(_)
                | Output::Transmit(_)
                | Output::Drain
                | Output::Refused { .. } => panic!("unexpected: {output:?}"),
            }
        }
        let run = self.run.as_mut().expect("an event was under way");
        if run.finish.answered() {
            let connection = ack.connection_id.rsplit('-').next();
            let connection = connection.and_then(|it| it.parse().ok());
            self.say_event(connection.expect("one of ours"));
            return Ok(Bytes::new());
        }
        run.under_way -= 1;
        if run.under_way == 0 {
            let answered = run.answered.send(run.finish.events());
            answered.expect("waits for the count");
        }
        Ok(Bytes::new())
    }

    fn say_event(&mut self, connection: usize) {
        self.event_seq += 1;
        self.number += 1;
        let event = event(self.event_seq, connection, self.number, &self.payload);
        let frame: Frame = v1::service_frame::Frame::Event(Box::new(event));
        self.machine.handle(Input::Frame(frame), Time::ZERO);
        while let Some(output) = self.machine.poll_output() {
            let Output::Transmit(request) = output else {
                panic!("unexpected: {output:?}")
            };
            let sent = self.sender.try_send(request.encode_to_vec().into());
            sent.expect("the window is large enough");
        }
    }
}
