//! The service's end, scripted by the test.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use headwater_rpc::{
    CallError, IncomingCall, Metadata, Router, Server, ServerConfig, tls::DevCertificates,
};
use headwater_transports::{Scheme, ServerOptions, UrlServer};
use headwater_upstream::{
    ConfigError, Handler, Status, Upstream, UpstreamConfig,
    v1::{self, service_frame::Frame as Said, upstream_frame::Frame as Sent},
};
use prost::Message as _;
use tokio::sync::{Mutex, mpsc};

pub(crate) const KEY: &str = "Endpoint=http://127.0.0.1:8080;AccessKey=hush;Version=1.0;";

/// Where services listen: one for each transport that is built.
pub(crate) fn urls() -> impl Iterator<Item = String> {
    Scheme::built().map(|scheme| {
        if scheme == Scheme::InProcess {
            return IN_PROCESS.to_owned();
        }
        if scheme != Scheme::Unix {
            return format!("{scheme}://127.0.0.1:0");
        }
        static SOCKETS: AtomicU32 = AtomicU32::new(0);
        let number = SOCKETS.fetch_add(1, Ordering::Relaxed);
        let name = format!("headwater-upstream-{}-{number}.sock", std::process::id());
        format!("unix:{}", std::env::temp_dir().join(name).display())
    })
}

/// Where a service listens whose transport does not matter. A test may stop the clock.
pub(crate) const IN_PROCESS: &str = "inproc://service";

/// Runs a case over one transport, which is named if it hangs.
pub(crate) async fn in_time(url: &str, case: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(Duration::from_secs(30), case).await;
    ended.unwrap_or_else(|_| panic!("the case hangs over {url}"));
}

/// A service that does nothing but what the test says.
pub(crate) struct Service {
    calls: mpsc::UnboundedReceiver<IncomingCall>,
    config: UpstreamConfig,
}

impl Service {
    pub(crate) async fn start(url: &str) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let router = Router::new();
        router.stream("/headwater.v1.Upstream/Link", move |call| {
            // The test may be over.
            let _ = sender.send(call);
            async {}
        });
        let certificates = DevCertificates::generate().expect("they can be made");
        let options = ServerOptions {
            tls: Some(certificates.server()),
            ..ServerOptions::default()
        };
        let transport = UrlServer::bind(url, &options).await;
        let transport = transport.unwrap_or_else(|error| panic!("{url}: {error}"));
        let config = UpstreamConfig {
            url: transport.url().to_owned(),
            tls: certificates.client(),
            in_process: options.in_process,
            hub: "chat".into(),
            connection_string: KEY.parse().ok(),
            seed: Some(1),
            ..UpstreamConfig::default()
        };
        let server = Server::new(transport, router, ServerConfig::default());
        tokio::spawn(async move { server.serve().await });
        Self { calls, config }
    }

    /// Upstreams are configured otherwise from now on.
    pub(crate) const fn config(&mut self) -> &mut UpstreamConfig {
        &mut self.config
    }

    pub(crate) fn upstream(&self, handler: impl Handler) -> Result<Upstream, ConfigError> {
        Upstream::new(self.config.clone(), handler)
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
