//! A service on a free port, clients by tungstenite, and upstreams that say what a test has them say.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use headwater::{
    Service, ServiceConfig,
    auth::{AccessKey, ClientGrant, client_url, upstream_token},
};
use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_rpc::{CallOptions, Client as RpcClient, Metadata, Receiver, Sender, Status};
use headwater_upstream::{
    Handler, Hub, RunError, Upstream, UpstreamConfig,
    v1::{self, service_frame::Frame as Said, upstream_frame::Frame as Says},
};
use headwater_websocket::{Listener, ListenerConfig};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest as _, protocol::CloseFrame},
};

pub(crate) const KEY: &str = "a-key-for-tests-of-32-bytes-or-so";
pub(crate) const ENDPOINT: &str = "http://service.test";
pub(crate) const JSON: &str = "json.webpubsub.azure.v1";
/// Longer than anything here takes; a test that gets so far has failed.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = timeout(LONG, future).await;
    outcome.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub(crate) fn unix_seconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

pub(crate) fn key() -> AccessKey {
    AccessKey::new(KEY).expect("long enough")
}

pub(crate) fn config() -> ServiceConfig {
    ServiceConfig {
        endpoints: vec![ENDPOINT.into()],
        ..ServiceConfig::new(key())
    }
}

/// A running service.
pub(crate) struct Stage {
    pub(crate) service: Service,
    pub(crate) address: SocketAddr,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: ServiceConfig) -> Self {
        Self::listening(config, ListenerConfig::default()).await
    }

    pub(crate) async fn listening(config: ServiceConfig, listener: ListenerConfig) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(loopback, listener).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let service = Service::new(config);
        let (stop, stopped) = oneshot::channel();
        let serving = service.clone();
        let serving = tokio::spawn(async move {
            let stopped = async {
                if stopped.await.is_err() {
                    std::future::pending().await
                }
            };
            serving.serve_clients(listener, stopped).await;
        });
        Self {
            service,
            address,
            serving,
            stop: Some(stop),
        }
    }

    pub(crate) fn knock(&self, hub: &'static str) -> Knock {
        Knock {
            address: self.address,
            hub,
            user: Some("ada"),
            roles: vec![
                "webpubsub.joinLeaveGroup".into(),
                "webpubsub.sendToGroup".into(),
            ],
            groups: Vec::new(),
            subprotocols: JSON,
            query: String::new(),
            headers: Vec::new(),
            token: None,
        }
    }

    /// A JSON client of the hub `chat` that has read its `connected`.
    pub(crate) async fn client(&self) -> Client {
        self.knock("chat").enter().await
    }

    /// The SDK's upstream in this process, registered.
    pub(crate) async fn upstream(&self, handler: impl Handler) -> Running {
        let client = self.service.connect_in_process();
        let upstream = Upstream::over(client, self.upstream_config(), handler);
        Running::start(upstream.expect("configured")).await
    }

    /// The SDK's upstream over HTTP/2, registered.
    pub(crate) async fn upstream_over_http2(&self, handler: impl Handler) -> Running {
        let config = UpstreamConfig {
            url: self.listen_http2().await,
            ..self.upstream_config()
        };
        Running::start(Upstream::new(config, handler).expect("configured")).await
    }

    pub(crate) fn upstream_config(&self) -> UpstreamConfig {
        UpstreamConfig {
            hub: "chat".into(),
            connection_string: self.service.connection_string(),
            seed: Some(1),
            ..UpstreamConfig::default()
        }
    }

    /// The URL of a new port for upstreams.
    pub(crate) async fn listen_http2(&self) -> String {
        let server = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default()).await;
        let server = server.expect("a port");
        let url = format!("http://{}", server.local_addr());
        let server = self.service.upstream_server(server);
        tokio::spawn(async move { server.serve().await });
        url
    }

    /// A link in this process that has not registered.
    pub(crate) async fn link(&self) -> Link {
        Link::open(self.service.connect_in_process(), &token(&[])).await
    }

    pub(crate) async fn link_over_http2(&self) -> Link {
        let url = self.listen_http2().await;
        let client = Http2Client::new(&url, &Http2ClientConfig::default()).expect("a url");
        let client = RpcClient::new(client);
        let connecting = client.clone();
        tokio::spawn(async move { connecting.connect().await });
        Link::open(client, &token(&[])).await
    }

    /// A link that has registered for everything in the hub `chat`.
    pub(crate) async fn registered(&self) -> Link {
        let mut link = self.link().await;
        link.register(register()).await;
        link
    }

    /// A unary call of `headwater.v1.Management`.
    pub(crate) async fn manage<M: prost::Message + Default>(
        &self,
        method: &str,
        request: impl prost::Message,
    ) -> Result<M, Status> {
        let client = self.service.connect_in_process();
        let path = format!("/headwater.v1.Management/{method}");
        let request = request.encode_to_vec().into();
        let answer = client.unary(path, bearer(&token(&[])), request, CallOptions::default());
        let answer = soon("an answer", answer).await?;
        Ok(M::decode(answer).expect("decodable"))
    }
}

/// An upstream's token for these hubs; for all, if none is named.
pub(crate) fn token(hubs: &[&str]) -> String {
    let lifetime = Duration::from_secs(600);
    upstream_token(ENDPOINT, &key(), hubs, lifetime, unix_seconds()).expect("a token")
}

pub(crate) fn bearer(token: &str) -> Metadata {
    let mut metadata = Metadata::new();
    if token.is_empty() {
        return metadata;
    }
    let value = format!("Bearer {token}");
    metadata.append("authorization", value).expect("valid");
    metadata
}

pub(crate) fn register() -> v1::Register {
    v1::Register {
        hub: "chat".into(),
        app: "app".into(),
        ..v1::Register::default()
    }
}

/// The SDK's upstream at work.
pub(crate) struct Running {
    pub(crate) hub: Hub,
    pub(crate) task: JoinHandle<Result<(), RunError>>,
    pub(crate) stop: oneshot::Sender<()>,
}

impl Running {
    async fn start(upstream: Upstream) -> Self {
        let hub = upstream.hub();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(upstream.run_until(async {
            if stopped.await.is_err() {
                std::future::pending().await
            }
        }));
        soon("the registration", hub.registered()).await;
        Self { hub, task, stop }
    }
}

/// A client before its WebSocket.
#[derive(Clone)]
pub(crate) struct Knock {
    pub(crate) address: SocketAddr,
    pub(crate) hub: &'static str,
    pub(crate) user: Option<&'static str>,
    pub(crate) roles: Vec<String>,
    pub(crate) groups: Vec<String>,
    /// As the header says them; empty for none.
    pub(crate) subprotocols: &'static str,
    pub(crate) query: String,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// Instead of a good one.
    pub(crate) token: Option<String>,
}

/// The answer to a client that is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Knock {
    pub(crate) fn user(mut self, user: &'static str) -> Self {
        self.user = Some(user);
        self
    }

    pub(crate) fn simple(mut self) -> Self {
        self.subprotocols = "";
        self
    }

    pub(crate) fn group(mut self, group: &str) -> Self {
        self.groups.push(group.into());
        self
    }

    pub(crate) fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    pub(crate) fn good_token(&self) -> String {
        let grant = ClientGrant {
            user_id: self.user,
            roles: &self.roles,
            groups: &self.groups,
            ..ClientGrant::new(self.hub)
        };
        let url = client_url(ENDPOINT, &key(), &grant, unix_seconds()).expect("a url");
        let (_, token) = url.split_once("access_token=").expect("a token");
        token.into()
    }

    pub(crate) async fn try_enter(self) -> Result<Client, Refused> {
        let token = self.token.clone().unwrap_or_else(|| self.good_token());
        let (address, hub, query) = (self.address, self.hub, &self.query);
        let url = format!("ws://{address}/client/hubs/{hub}?access_token={token}{query}");
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in &self.headers {
            let value = value.parse().expect("a header");
            request.headers_mut().append(*name, value);
        }
        if !self.subprotocols.is_empty() {
            let offered = self.subprotocols.parse().expect("a header");
            request
                .headers_mut()
                .insert("sec-websocket-protocol", offered);
        }
        let stream = TcpStream::connect(address).await.expect("the port is open");
        match soon("the handshake", client_async(request, stream)).await {
            Ok((socket, response)) => Ok(Client {
                socket,
                id: String::new(),
                subprotocol: response
                    .headers()
                    .get("sec-websocket-protocol")
                    .map(|chosen| chosen.to_str().expect("a token").into()),
            }),
            Err(tungstenite::Error::Http(response)) => Err(Refused {
                status: response.status().as_u16(),
                text: String::from_utf8(response.into_body().unwrap_or_default()).expect("text"),
            }),
            Err(error) => panic!("the handshake broke: {error}"),
        }
    }

    /// Enters; a JSON client reads its `connected`.
    pub(crate) async fn enter(self) -> Client {
        let is_json = self.subprotocols == JSON;
        let mut client = self.try_enter().await.expect("let in");
        if is_json {
            let connected = client.json().await;
            assert_eq!(connected["event"], "connected", "{connected}");
            client.id = connected["connectionId"].as_str().expect("an id").into();
        }
        client
    }
}

/// A client with its WebSocket.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) id: String,
    pub(crate) subprotocol: Option<String>,
}

impl Client {
    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.expect("open");
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    pub(crate) async fn event(&mut self, name: &str, data: &str, ack_id: u64) {
        self.say(json!({
            "type": "event", "event": name, "dataType": "text", "data": data, "ackId": ack_id,
        }))
        .await;
    }

    pub(crate) async fn next(&mut self) -> Message {
        let next = soon("a message", self.socket.next()).await;
        next.expect("not the end").expect("not broken")
    }

    pub(crate) async fn json(&mut self) -> Value {
        let text = self.next().await;
        serde_json::from_str(text.to_text().expect("text")).expect("JSON")
    }

    /// Has an exchange with the service, so that all that was said before is done.
    pub(crate) async fn ping(&mut self) {
        self.say(json!({"type": "ping"})).await;
        assert_eq!(self.json().await, json!({"type": "pong"}));
    }

    /// Joins a group and reads the ack.
    pub(crate) async fn join(&mut self, group: &str, ack_id: u64) {
        self.say(json!({"type": "joinGroup", "group": group, "ackId": ack_id}))
            .await;
        let ack = self.json().await;
        assert_eq!(
            ack,
            json!({"type": "ack", "ackId": ack_id, "success": true})
        );
    }

    /// Reads to the end: what came before the close frame, and that frame's code and reason.
    pub(crate) async fn rest(&mut self) -> (Vec<Message>, Option<(u16, String)>) {
        let mut before = Vec::new();
        let mut close = None;
        let reading = async {
            while let Some(Ok(message)) = self.socket.next().await {
                match message {
                    Message::Close(Some(CloseFrame { code, reason })) => {
                        close = Some((code.into(), reason.as_str().to_owned()));
                    }
                    message => before.push(message),
                }
            }
        };
        soon("the end", reading).await;
        (before, close)
    }

    pub(crate) async fn close_code(&mut self) -> u16 {
        let (_, close) = self.rest().await;
        close.expect("a close frame").0
    }

    pub(crate) async fn leave(mut self) {
        // The service may have closed it.
        let _ = self.socket.close(None).await;
        self.rest().await;
    }
}

/// An upstream by hand.
pub(crate) struct Link {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    waiting: VecDeque<Said>,
    batch: Vec<Bytes>,
    seq: u64,
}

impl Link {
    pub(crate) async fn open(client: RpcClient, token: &str) -> Self {
        let path = "/headwater.v1.Upstream/Link";
        let options = CallOptions {
            receive_message_bytes_max: 64 << 20,
            ..CallOptions::default()
        };
        let call = client.call(path, bearer(token), options);
        let (sender, receiver) = soon("the call", call).await.expect("a call");
        Self {
            sender,
            receiver,
            waiting: VecDeque::new(),
            batch: Vec::new(),
            seq: 0,
        }
    }

    pub(crate) fn say(&self, frame: Says) {
        let frame = v1::UpstreamFrame { frame: Some(frame) };
        self.sender
            .try_send(frame.encode_to_vec().into())
            .expect("room");
    }

    pub(crate) async fn register(&mut self, register: v1::Register) -> v1::Registered {
        self.say(Says::Register(register));
        match self.next().await {
            Said::Registered(registered) => registered,
            other => panic!("the registration is answered first: {other:?}"),
        }
    }

    pub(crate) async fn next(&mut self) -> Said {
        self.next_or_end().await.expect("the link goes on")
    }

    /// The next frame, or how the link ended.
    pub(crate) async fn next_or_end(&mut self) -> Result<Said, Result<(), Status>> {
        while self.waiting.is_empty() {
            let next = self.receiver.next_batch(&mut self.batch);
            match soon("a frame", next).await {
                Ok(0) => return Err(Ok(())),
                Ok(_) => {}
                Err(error) => return Err(Err(error.status)),
            }
            for message in self.batch.drain(..) {
                let frame = v1::ServiceFrame::decode(message).expect("decodable");
                self.waiting.extend(frame.frame);
            }
        }
        Ok(self.waiting.pop_front().expect("just filled"))
    }

    /// How the link ends; whatever comes before is dropped.
    pub(crate) async fn end(&mut self) -> Result<(), Status> {
        loop {
            if let Err(end) = self.next_or_end().await {
                return end;
            }
        }
    }

    pub(crate) async fn event(&mut self) -> v1::Event {
        match self.next().await {
            Said::Event(event) => *event,
            other => panic!("an event, not {other:?}"),
        }
    }

    pub(crate) async fn result(&mut self) -> v1::Result {
        match self.next().await {
            Said::Result(result) => result,
            other => panic!("a result, not {other:?}"),
        }
    }

    pub(crate) async fn refused(&mut self) -> v1::Refused {
        match self.next().await {
            Said::Refused(refused) => refused,
            other => panic!("a refusal, not {other:?}"),
        }
    }

    /// Answers an event; the `seq` of the answer.
    pub(crate) fn ack(&mut self, event: &v1::Event, answer: v1::ack::Answer) -> u64 {
        self.seq += 1;
        let ack = v1::Ack {
            seq: self.seq,
            id: event.id.clone(),
            answer: Some(answer),
        };
        self.say(Says::Ack(ack.into()));
        self.seq
    }

    pub(crate) fn accept(&mut self, event: &v1::Event) {
        self.ack(event, v1::ack::Answer::Accept(v1::Accept::default()));
        self.settle(event);
    }

    /// Answers a message with text.
    pub(crate) fn reply(&mut self, event: &v1::Event, text: &str) -> u64 {
        self.ack(event, reply(text))
    }

    pub(crate) fn settle(&self, event: &v1::Event) {
        let range = v1::Range {
            from: event.seq,
            to: event.seq,
        };
        self.say(Says::Settled(v1::Settled {
            ranges: vec![range],
        }));
    }

    pub(crate) fn command(&mut self, operation: v1::command::Operation) -> u64 {
        self.seq += 1;
        let command = v1::Command {
            seq: self.seq,
            trace: None,
            operation: Some(operation),
        };
        self.say(Says::Command(command.into()));
        self.seq
    }

    /// Lets one client in and reads its `connected`.
    pub(crate) async fn admit(&mut self, knock: Knock) -> Client {
        let entering = tokio::spawn(knock.enter());
        let connect = self.event().await;
        assert!(matches!(connect.event, Some(v1::event::Event::Connect(_))));
        self.accept(&connect);
        let connected = self.event().await;
        let is_connected = matches!(connected.event, Some(v1::event::Event::Connected(_)));
        assert!(is_connected, "{connected:?}");
        self.settle(&connected);
        entering.await.expect("let in")
    }
}

pub(crate) fn reply(text: &str) -> v1::ack::Answer {
    v1::ack::Answer::Reply(v1::Reply {
        payload: Some(text_payload(text)),
        state: None,
    })
}

pub(crate) fn text_payload(text: &str) -> v1::Payload {
    v1::Payload {
        r#type: v1::DataType::Text.into(),
        data: Bytes::copy_from_slice(text.as_bytes()),
    }
}
