//! The link with a hub behind it: what the service does for an event, but for the client's socket.

use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_core::{
    Time,
    hub::{ConnectionKey, Hub, HubConfig, Input, LinkKey, NewConnection, Output},
    link::service::{Input as Said, LinkConfig, Output as Heard, ServiceLink},
};
use headwater_proto::{
    subprotocol::{DataType, Operation, Payload, Request},
    v1,
};
use headwater_rpc::IncomingCall;
use prost::Message as _;

use crate::{
    contender::{Order, Orders},
    link::{
        over_http2,
        work::{Finish, payload},
    },
};

/// The only link.
const LINK: LinkKey = LinkKey(1);

/// Event, hub, link, handler, and back to the outbox of the client that asked.
pub(crate) struct LinkAndHub(Orders<usize>);

impl LinkAndHub {
    pub(crate) fn start() -> Self {
        Self(over_http2::start(|call, mut orders| async move {
            let mut service = Service::new(call);
            while let Some(order) = orders.recv().await {
                service.obey(order).await;
            }
        }))
    }
}

impl LinkAndHub {
    pub(crate) fn run(&self, in_flight: usize, duration: Duration) -> u64 {
        self.0.run(in_flight, duration)
    }
}

/// The service's end.
struct Service {
    call: IncomingCall,
    link: ServiceLink,
    hub: Hub<u64, ()>,
    started: Instant,
    received: Vec<Bytes>,
    frames: Vec<Bytes>,
    /// Clients that were answered since it was looked at.
    answered: Vec<u64>,
    connections: u64,
    ack_id: u64,
    payload: Bytes,
}

impl Service {
    fn new(call: IncomingCall) -> Self {
        Self {
            call,
            link: ServiceLink::new(LinkConfig::default(), Time::ZERO),
            hub: Hub::new(HubConfig::new("bench")),
            started: Instant::now(),
            received: Vec::new(),
            frames: Vec::new(),
            answered: Vec::new(),
            connections: 0,
            ack_id: 0,
            payload: payload(),
        }
    }

    async fn obey(&mut self, order: Order<usize>) {
        let mut finish = Finish::new(order.until);
        while self.connections < order.work as u64 {
            self.connect().await;
        }
        for connection in 1..=order.work as u64 {
            self.ask(connection);
        }
        self.turn();
        let mut under_way = order.work;
        while under_way > 0 {
            self.listen().await;
            for connection in std::mem::take(&mut self.answered) {
                if finish.answered() {
                    self.ask(connection);
                } else {
                    under_way -= 1;
                }
            }
            self.turn();
        }
        order
            .answered
            .send(finish.events())
            .expect("waits for the count");
    }

    /// Lets one more client in; its handler's answers are waited for.
    async fn connect(&mut self) {
        self.connections += 1;
        let key = ConnectionKey(self.connections);
        let new = NewConnection {
            id: format!("connection-{:011}", self.connections),
            user_id: Some("somebody".into()),
            handshake: v1::Connect {
                subprotocols: vec!["json.webpubsub.azure.v1".into()],
                ..v1::Connect::default()
            },
            ..NewConnection::default()
        };
        self.say(Input::Connect {
            key,
            handle: self.connections,
            new: Box::new(new),
        });
        let open = self.hub.connections();
        while self.hub.connections() == open {
            self.turn();
            self.say(Input::Opened(key));
            if self.hub.connections() == open {
                self.listen().await;
            }
        }
        self.turn();
        self.answered.clear();
    }

    fn ask(&mut self, connection: u64) {
        self.ack_id += 1;
        let payload = Payload {
            data_type: DataType::Text,
            data: self.payload.clone(),
        };
        let operation = Operation::Event {
            name: "echo".into(),
            payload,
            metadata: [].into(),
        };
        let request = Request {
            ack_id: Some(self.ack_id),
            operation,
        };
        self.say(Input::Request(ConnectionKey(connection), request));
    }

    /// Takes in what came together from the upstream.
    async fn listen(&mut self) {
        let read = self.call.receiver.next_batch(&mut self.received).await;
        assert!(read.is_ok_and(|read| read > 0), "the link is up");
        let now = self.now();
        for message in std::mem::take(&mut self.received) {
            self.link.handle(Said::Message(message), now);
        }
        while let Some(heard) = self.link.poll_output() {
            let input = match heard {
                Heard::Ack(ack) => Input::Ack(LINK, ack),
                Heard::Settled(settled) => Input::Settled(LINK, settled),
                Heard::Register(register) => Input::Register {
                    link: LINK,
                    handle: (),
                    register,
                    registration: "registration".into(),
                    resume_token: Bytes::new(),
                },
                Heard::Command(_)
                | Heard::Drain
                | Heard::Authenticate(_)
                | Heard::Transmit(_)
                | Heard::End(_) => {
                    panic!("unexpected: {heard:?}")
                }
            };
            self.hub.handle(input, now);
        }
        self.drain();
    }

    fn say(&mut self, input: Input<u64, ()>) {
        let now = self.now();
        self.hub.handle(input, now);
    }

    /// Does what the hub wants done, and sends it in one go.
    fn turn(&mut self) {
        self.drain();
        let count = self.frames.len();
        if count > 0 {
            let sent = self.call.sender.try_send_all(self.frames.drain(..));
            assert_eq!(sent, Ok(count), "the window is large enough");
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Link { frame, .. } => {
                    let frame = v1::ServiceFrame {
                        frame: Some(*frame),
                    };
                    self.frames.push(frame.encode_to_vec().into());
                }
                Output::Send { to, .. } => self.answered.push(to),
                Output::Admit { .. } | Output::Pause(_) | Output::Resume(_) => {}
                Output::Refuse { .. }
                | Output::Deliver { .. }
                | Output::Close { .. }
                | Output::EndLink { .. } => {
                    panic!("unexpected: {output:?}")
                }
            }
        }
    }

    fn now(&self) -> Time {
        Time::after_start(self.started.elapsed())
    }
}
