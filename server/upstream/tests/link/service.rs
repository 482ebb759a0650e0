//! The service's end, scripted by the test.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use headwater_http2::{Http2Server, Http2ServerConfig};
use headwater_rpc::{CallError, Client, IncomingCall, Metadata, Router, Server, ServerConfig};
use headwater_upstream::{
    ConfigError, Handler, Status, Upstream, UpstreamConfig,
    v1::{self, service_frame::Frame as Said, upstream_frame::Frame as Sent},
};
use prost::Message as _;
use tokio::sync::{Mutex, mpsc};

pub(crate) const KEY: &str = "Endpoint=http://127.0.0.1:8080;AccessKey=hush;Version=1.0;";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    InProcess,
    Http2,
}

/// A service that does nothing but what the test says.
pub(crate) struct Service {
    calls: mpsc::UnboundedReceiver<IncomingCall>,
    client: Option<Client>,
    url: String,
}

impl Service {
    pub(crate) async fn start(transport: Transport) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let router = Router::new();
        router.stream("/headwater.v1.Upstream/Link", move |call| {
            // The test may be over.
            let _ = sender.send(call);
            async {}
        });
        let config = ServerConfig::default();
        let (client, url, server) = match transport {
            Transport::InProcess => {
                let (client, server) = headwater_in_process::pair();
                let client = Client::new(client);
                let runs = client.clone();
                tokio::spawn(async move { runs.connect().await });
                let server = Server::new(server, router, config);
                (Some(client), String::new(), server)
            }
            Transport::Http2 => {
                let server = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default())
                    .await
                    .expect("a free port on loopback");
                let url = format!("http://{}", server.local_addr());
                (None, url, Server::new(server, router, config))
            }
        };
        tokio::spawn(async move { server.serve().await });
        Self { calls, client, url }
    }

    pub(crate) fn upstream(&self, handler: impl Handler) -> Result<Upstream, ConfigError> {
        let config = UpstreamConfig {
            url: self.url.clone(),
            hub: "chat".into(),
            connection_string: KEY.parse().ok(),
            seed: Some(1),
            ..UpstreamConfig::default()
        };
        match &self.client {
            Some(client) => Upstream::over(client.clone(), config, handler),
            None => Upstream::new(config, handler),
        }
    }

    /// The next call of the upstream.
    pub(crate) async fn call(&mut self) -> Call {
        let incoming = self.calls.recv().await.expect("the server runs");
        Call {
            incoming,
            received: VecDeque::new(),
            messages: Vec::new(),
        }
    }

    /// The next call, with its registration answered.
    pub(crate) async fn registered(&mut self) -> (Call, v1::Register) {
        let mut call = self.call().await;
        let Sent::Register(register) = call.next().await else {
            panic!("`register` comes first");
        };
        let registered = v1::Registered {
            registration: "r1".into(),
            resume_token: "token".into(),
            ..v1::Registered::default()
        };
        call.say(Said::Registered(registered.into()));
        (call, *register)
    }
}

/// One call of the upstream.
pub(crate) struct Call {
    pub(crate) incoming: IncomingCall,
    received: VecDeque<Sent>,
    messages: Vec<Bytes>,
}

impl Call {
    pub(crate) async fn next(&mut self) -> Sent {
        self.next_or_end()
            .await
            .expect("the call goes on")
            .expect("a frame")
    }

    /// The next frame; `None` when the upstream has half-closed.
    pub(crate) async fn next_or_end(&mut self) -> Result<Option<Sent>, CallError> {
        while self.received.is_empty() {
            let receiver = &mut self.incoming.receiver;
            if receiver.next_batch(&mut self.messages).await? == 0 {
                return Ok(None);
            }
            for message in self.messages.drain(..) {
                let frame = v1::UpstreamFrame::decode(message).expect("decodable");
                self.received.extend(frame.frame);
            }
        }
        Ok(self.received.pop_front())
    }

    pub(crate) fn say(&self, said: Said) {
        self.say_all([said]);
    }

    /// Says all of it at once.
    pub(crate) fn say_all(&self, said: impl IntoIterator<Item = Said>) {
        let frames = said.into_iter().map(|said| {
            let frame = v1::ServiceFrame { frame: Some(said) };
            Bytes::from(frame.encode_to_vec())
        });
        self.incoming.sender.try_send_all(frames).expect("room");
    }

    pub(crate) fn end(self, outcome: Result<(), Status>) {
        self.incoming
            .sender
            .finish(outcome, Metadata::new())
            .expect("open");
    }
}

pub(crate) fn message(seq: u64, connection: &str, number: u64, name: &str) -> Said {
    Said::Event(Box::new(v1::Event {
        seq,
        id: Some(v1::EventId {
            connection_id: connection.into(),
            number,
        }),
        event: Some(v1::event::Event::Message(v1::Message {
            name: name.into(),
            ..v1::Message::default()
        })),
        ..v1::Event::default()
    }))
}

/// Something that a test and a handler wait for together.
pub(crate) type Gate = Arc<Mutex<()>>;
