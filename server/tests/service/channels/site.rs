//! A service with one way in, and clients that say what a test has them say.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use bytes::Bytes;
use headwater::{ChannelsConfig, Service, ServiceConfig};
use headwater_proto::push_channel::{
    ConnRequest, ConsumeRequest, MessageReply, OffsetRange, Offsets, SubmitReply, SubmitRequest,
    consume_request::Request,
};
use headwater_rpc::{
    CallOptions, Client as RpcClient, Code, Metadata, Receiver, Sender, Shape, Status,
    tls::DevCertificates,
};
use headwater_transports::{ClientOptions, ServerOptions, UrlServer};
use headwater_upstream::channel::{ChannelClient, ChannelConfig};
use prost::Message as _;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::support::*;

/// A service of push channels for everybody, and what a client needs to reach it.
pub(super) struct Site {
    pub(super) service: Service,
    pub(super) url: String,
    pub(super) options: ClientOptions,
    server_options: ServerOptions,
    pub(super) serving: JoinHandle<()>,
}

/// Channels for everybody.
pub(super) fn open() -> ChannelsConfig {
    ChannelsConfig {
        allow_anonymous: true,
        ..ChannelsConfig::default()
    }
}

impl Site {
    /// The service of one test, reached in this process.
    pub(super) async fn start(channels: ChannelsConfig) -> Self {
        Self::at("inproc://service", channels).await
    }

    pub(super) async fn at(url: &str, channels: ChannelsConfig) -> Self {
        let certificates = DevCertificates::generate().expect("they can be made");
        let server_options = ServerOptions {
            tls: Some(certificates.server()),
            ..ServerOptions::default()
        };
        let options = ClientOptions {
            tls: certificates.client(),
            in_process: server_options.in_process.clone(),
            ..ClientOptions::default()
        };
        let transport = UrlServer::bind(url, &server_options).await;
        let transport = transport.unwrap_or_else(|error| panic!("{url}: {error}"));
        Self::on(transport, (options, server_options), channels)
    }

    fn on(
        transport: UrlServer,
        (options, server_options): (ClientOptions, ServerOptions),
        channels: ChannelsConfig,
    ) -> Self {
        let service = Service::new(ServiceConfig {
            channels,
            ..config()
        });
        let url = transport.url().to_owned();
        let server = service.upstream_server(transport);
        let serving = tokio::spawn(async move { server.serve().await.expect("it can listen") });
        Self {
            service,
            url,
            options,
            server_options,
            serving,
        }
    }

    /// Kills the server of this process: every call breaks off, and nobody listens any more.
    pub(super) async fn kill(self) -> Gone {
        self.serving.abort();
        let killed = self.serving.await.expect_err("it ran");
        assert!(killed.is_cancelled());
        Gone {
            url: self.url,
            options: (self.options, self.server_options),
        }
    }

    /// A client with a connection of its own.
    pub(super) fn client(&self) -> RpcClient {
        self.client_at(&self.url)
    }

    pub(super) fn client_at(&self, url: &str) -> RpcClient {
        let client = headwater_transports::client(url, &self.options);
        let client = client.expect("a url of this build").build();
        let connecting = client.clone();
        tokio::spawn(async move { connecting.connect().await });
        client
    }

    /// The SDK's client of the same service.
    pub(super) fn sdk(&self) -> ChannelClient {
        ChannelClient::new(self.sdk_config()).expect("configured")
    }

    pub(super) fn sdk_config(&self) -> ChannelConfig {
        ChannelConfig {
            url: self.url.clone(),
            tls: self.options.tls.clone(),
            in_process: self.options.in_process.clone(),
            seed: Some(1),
            ..ChannelConfig::default()
        }
    }

    /// How many messages wait to be taken.
    pub(super) fn waiting(&self, channel: &str) -> usize {
        let counters = self.service.channel_counters(channel);
        counters.map_or(0, |counters| counters.waiting)
    }

    /// How many consumers there are.
    pub(super) fn consumers(&self, channel: &str) -> usize {
        let counters = self.service.channel_counters(channel);
        counters.map_or(0, |counters| counters.consumers)
    }
}

/// Where a service was.
pub(super) struct Gone {
    url: String,
    options: (ClientOptions, ServerOptions),
}

impl Gone {
    /// Another service at the same place, which knows nothing of the one before.
    pub(super) async fn restart(self, channels: ChannelsConfig) -> Site {
        let bound = async {
            loop {
                match UrlServer::bind(&self.url, &self.options.1).await {
                    Ok(transport) => return transport,
                    // The one before is letting go of its connections.
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        let transport = soon("the place to be free", bound).await;
        Site::on(transport, self.options, channels)
    }
}

/// A way to the service over TCP that can be cut.
pub(super) struct Line {
    pub(super) url: String,
    relay: JoinHandle<()>,
}

impl Line {
    /// `None` if the service is not reached over TCP.
    pub(super) async fn to(site: &Site) -> Option<Self> {
        let (scheme, address) = site.url.split_once("://")?;
        if !["http", "https", "ws", "wss"].contains(&scheme) {
            return None;
        }
        let service: SocketAddr = address.trim_end_matches('/').parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("bound");
        let relay = tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.expect("a connection");
            let mut far = TcpStream::connect(service).await.expect("a connection");
            // Either side may close it.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
        Some(Self {
            url: format!("{scheme}://{own}"),
            relay,
        })
    }

    /// As by a broken cable, only faster: neither side says a word.
    pub(super) fn cut(&self) {
        self.relay.abort();
    }
}

/// A submission of the first version's client.
pub(super) async fn submit(client: &RpcClient, channel: &str, text: &str) -> u64 {
    let request = SubmitRequest {
        channel: channel.into(),
        message: text.into(),
        ..SubmitRequest::default()
    };
    let reply = try_submit(client, request, Metadata::new()).await;
    let SubmitReply { reply, offset } = reply.expect("taken");
    assert_eq!(reply, "received");
    offset
}

pub(super) async fn try_submit(
    client: &RpcClient,
    request: SubmitRequest,
    metadata: Metadata,
) -> Result<SubmitReply, Status> {
    ask(client, "SubmitMessage", request, metadata).await
}

/// A unary call of `MessageSync`.
pub(super) async fn ask<M: prost::Message + Default>(
    client: &RpcClient,
    method: &str,
    request: impl prost::Message,
    metadata: Metadata,
) -> Result<M, Status> {
    let path = format!("/MessageSync/{method}");
    let request = request.encode_to_vec().into();
    let answer = client.unary(path, metadata, request, CallOptions::default());
    let answer = soon("an answer", answer).await?;
    Ok(M::decode(answer).expect("decodable"))
}

pub(super) fn channel(name: &str) -> ConnRequest {
    ConnRequest {
        channel: name.into(),
        ..ConnRequest::default()
    }
}

/// A consumer by hand. Dropping it cancels its call.
pub(super) struct Consumer {
    pub(super) sender: Sender,
    receiver: Receiver,
    batch: Vec<Bytes>,
    received: VecDeque<MessageReply>,
}

impl Consumer {
    /// `PushMessageStream`, once the service has it.
    pub(super) async fn push(client: &RpcClient, request: ConnRequest) -> Self {
        let mut consumer = Self::try_push(client, request, Metadata::new()).await;
        consumer.connected().await;
        consumer
    }

    pub(super) async fn try_push(
        client: &RpcClient,
        request: ConnRequest,
        metadata: Metadata,
    ) -> Self {
        let path = "/MessageSync/PushMessageStream";
        let request = request.encode_to_vec().into();
        let options = CallOptions {
            shape: Shape::ServerStreaming,
            ..CallOptions::default()
        };
        let call = client.call_with_request(path, metadata, request, options);
        Self::of(soon("the call", call).await.expect("a call"))
    }

    /// `Consume`, once the service has it.
    pub(super) async fn consume(client: &RpcClient, request: ConnRequest) -> Self {
        let mut consumer = Self::try_consume(client, Metadata::new()).await;
        consumer.say(Request::Open(request));
        consumer.connected().await;
        consumer
    }

    pub(super) async fn try_consume(client: &RpcClient, metadata: Metadata) -> Self {
        let call = client.call("/MessageSync/Consume", metadata, CallOptions::default());
        Self::of(soon("the call", call).await.expect("a call"))
    }

    fn of((sender, receiver): (Sender, Receiver)) -> Self {
        Self {
            sender,
            receiver,
            batch: Vec::new(),
            received: VecDeque::new(),
        }
    }

    async fn connected(&mut self) {
        let headers = soon("the headers", self.receiver.headers()).await;
        assert!(headers.is_some(), "{:?}", self.receiver.ended());
    }

    /// What this header of the response says.
    pub(super) async fn header(&mut self, name: &str) -> String {
        let headers = soon("the headers", self.receiver.headers()).await;
        let headers = headers.expect("it is connected");
        headers.text(name).expect("it is there").into()
    }

    pub(super) fn say(&self, request: Request) {
        let request = ConsumeRequest {
            request: Some(request),
        };
        self.sender
            .try_send(request.encode_to_vec().into())
            .expect("room");
    }

    pub(super) fn take(&self, from: u64, to: u64) {
        self.say(Request::Taken(range(from, to)));
    }

    /// The next message, or how the call ended.
    pub(super) async fn next_or_end(&mut self) -> Result<MessageReply, Status> {
        loop {
            if let Some(reply) = self.received.pop_front() {
                return Ok(reply);
            }
            let next = self.receiver.next_batch(&mut self.batch);
            match soon("a message", next).await {
                Ok(0) => return Err(Status::new(Code::Unknown, "it ended well")),
                Ok(_) => {}
                Err(error) => return Err(error.status),
            }
            let replies = self.batch.drain(..).map(MessageReply::decode);
            self.received
                .extend(replies.map(|reply| reply.expect("decodable")));
        }
    }

    pub(super) async fn next(&mut self) -> MessageReply {
        self.next_or_end().await.expect("the call goes on")
    }

    pub(super) async fn text(&mut self) -> String {
        self.next().await.message
    }

    pub(super) async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.text().await);
        }
        texts
    }

    /// Place and mark of the next so many messages.
    pub(super) async fn places(&mut self, count: usize) -> Vec<(u64, bool)> {
        let mut places = Vec::new();
        for _ in 0..count {
            let reply = self.next().await;
            places.push((reply.offset, reply.redelivered));
        }
        places
    }

    pub(super) async fn end(&mut self) -> Code {
        loop {
            if let Err(status) = self.next_or_end().await {
                return status.code;
            }
        }
    }

    /// Reads all that is there.
    pub(super) async fn read_all(&mut self) {
        loop {
            self.received.clear();
            let next = self.next();
            tokio::select! {
                biased;
                _ = next => {}
                () = tokio::task::yield_now() => return,
            }
        }
    }

    /// Whether nothing has come that was not looked at.
    pub(super) async fn hears_nothing(&mut self) {
        quiet().await;
        let next = self.receiver.next_batch(&mut self.batch);
        tokio::select! {
            biased;
            next = next => panic!("{next:?}: {:?}", self.batch),
            () = quiet() => {}
        }
    }
}

pub(super) fn range(from: u64, to: u64) -> Offsets {
    Offsets {
        ranges: vec![OffsetRange { from, to }],
    }
}
