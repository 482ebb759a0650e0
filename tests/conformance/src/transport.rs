//! The transports that the suite runs on: a further one is a row here.

use std::{fmt, future::ready, pin::Pin};

use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_http3::{Http3Client, Http3ClientConfig, Http3Server, Http3ServerConfig};
use headwater_rpc::{
    Client, ClientBuilder, Code, Router, Server, ServerBuilder,
    channel::{Channel, ChannelConfig},
    tls::DevCertificates,
};
use headwater_websocket::{
    WebSocketClient, WebSocketClientConfig, WebSocketServer, WebSocketServerConfig,
    zrpc::{ZrpcClient, ZrpcClientConfig},
};

/// Every transport under test.
pub const TRANSPORTS: &[Transport] = &[
    Transport {
        name: "in-process",
        ends: |router| Box::pin(ready(in_process(router))),
        peer_kind: "in-process",
        certificates: 0,
        stopped: Code::FailedPrecondition,
    },
    Transport {
        name: "http2",
        ends: |router| Box::pin(http2(router)),
        peer_kind: "ipv4",
        certificates: 0,
        stopped: Code::Unavailable,
    },
    Transport {
        name: "http3",
        ends: |router| Box::pin(http3(router)),
        peer_kind: "ipv4",
        certificates: 0,
        stopped: Code::Unavailable,
    },
    Transport {
        name: "websocket",
        ends: |router| Box::pin(websocket(router)),
        peer_kind: "ipv4",
        certificates: 0,
        stopped: Code::Unavailable,
    },
    Transport {
        name: "zrpc",
        ends: |router| Box::pin(zrpc(router)),
        peer_kind: "ipv4",
        certificates: 0,
        stopped: Code::Unavailable,
    },
];

/// Makes the two ends, which are still to be built.
pub(crate) type Ends = fn(Router) -> Pin<Box<dyn Future<Output = Pair>>>;

/// The two ends, and the channel whose first connection a case does not want to pay for: a handshake with certificates
/// takes longer than the deadlines of some.
pub(crate) type Pair = (ClientBuilder, ServerBuilder, Option<Channel>);

/// A transport under test: how its ends are made, and what a caller may see of it.
#[derive(Clone, Copy)]
pub struct Transport {
    pub(crate) name: &'static str,
    pub(crate) ends: Ends,
    /// How a handler sees both ends of its connection described, to the colon.
    pub peer_kind: &'static str,
    /// How many certificates of the client a handler sees.
    pub certificates: usize,
    /// How a call fails whose server has stopped.
    pub stopped: Code,
}

impl Transport {
    /// Whether nothing of it waits for the machine's own time, so that a test may stop the clock.
    pub fn is_within_process(&self) -> bool {
        self.peer_kind == "in-process"
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn in_process(router: Router) -> Pair {
    let (client, server) = headwater_in_process::pair();
    (
        Client::builder(client),
        Server::builder(server, router),
        None,
    )
}

/// The window of a stream on either side: small, so that a test sees soon who is held back.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;

async fn http2(router: Router) -> Pair {
    let config = Http2ServerConfig {
        stream_window_bytes: STREAM_WINDOW_BYTES,
        ..Http2ServerConfig::default()
    };
    let server = Http2Server::bind("127.0.0.1:0", config)
        .await
        .expect("a free port on loopback");
    let url = format!("http://{}", server.local_addr());
    let bounds = Http2ClientConfig {
        stream_window_bytes: STREAM_WINDOW_BYTES,
        ..Http2ClientConfig::default()
    };
    let client = Http2Client::new(&url, &bounds);
    let client = Client::builder(client.expect("a valid url"));
    (client, Server::builder(server, router), None)
}

async fn http3(router: Router) -> Pair {
    let certificates = DevCertificates::generate().expect("the system has randomness");
    let config = Http3ServerConfig {
        stream_window_bytes: STREAM_WINDOW_BYTES,
        ..Http3ServerConfig::default()
    };
    let server = Http3Server::bind("127.0.0.1:0", certificates.server(), config)
        .await
        .expect("a free port on loopback");
    let url = format!("h3://{}", server.local_addr());
    let bounds = Http3ClientConfig {
        stream_window_bytes: STREAM_WINDOW_BYTES,
        tls: certificates.client(),
        channel: ChannelConfig {
            eager: true,
            ..ChannelConfig::default()
        },
        ..Http3ClientConfig::default()
    };
    let client = Http3Client::new(&url, &bounds).expect("a valid url");
    let channel = client.channel().clone();
    let server = Server::builder(server, router);
    (Client::builder(client), server, Some(channel))
}

async fn websocket(router: Router) -> Pair {
    let config = WebSocketServerConfig {
        call_window_bytes: STREAM_WINDOW_BYTES as usize,
        ..WebSocketServerConfig::default()
    };
    let server = WebSocketServer::bind("127.0.0.1:0", config)
        .await
        .expect("a free port on loopback");
    let url = format!("ws://{}", server.local_addr());
    let bounds = WebSocketClientConfig {
        call_window_bytes: STREAM_WINDOW_BYTES as usize,
        ..WebSocketClientConfig::default()
    };
    let client = WebSocketClient::new(&url, &bounds);
    let client = Client::builder(client.expect("a valid url"));
    (client, Server::builder(server, router), None)
}

/// By frames with call ids, on the same port as pw_rpc's packets.
async fn zrpc(router: Router) -> Pair {
    let server = WebSocketServer::bind("127.0.0.1:0", WebSocketServerConfig::default())
        .await
        .expect("a free port on loopback");
    let url = format!("ws://{}", server.local_addr());
    let client = ZrpcClient::new(&url, &ZrpcClientConfig::default());
    let client = Client::builder(client.expect("a valid url"));
    (client, Server::builder(server, router), None)
}
