//! The transports that the suite runs on: a further one is a row here.

use std::{fmt, future::ready, pin::Pin};

use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_rpc::{Client, Code, Router, Server, ServerConfig, ServiceConfig};

/// Every transport under test.
pub const TRANSPORTS: &[Transport] = &[
    Transport {
        name: "in-process",
        ends: |router, config, methods| Box::pin(ready(in_process(router, config, methods))),
        peer_kind: "in-process",
        stopped: Code::FailedPrecondition,
    },
    Transport {
        name: "http2",
        ends: |router, config, methods| Box::pin(http2(router, config, methods)),
        peer_kind: "ipv4",
        stopped: Code::Unavailable,
    },
];

/// Makes the two ends, of which nothing runs yet.
type Ends =
    fn(Router, ServerConfig, ServiceConfig) -> Pin<Box<dyn Future<Output = (Client, Server)>>>;

/// A transport under test: how its ends are made, and what a caller may see of it.
#[derive(Clone, Copy)]
pub struct Transport {
    name: &'static str,
    pub(crate) ends: Ends,
    /// How a handler sees its peer described, to the colon.
    pub peer_kind: &'static str,
    /// How a call fails whose server has stopped.
    pub stopped: Code,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn in_process(router: Router, config: ServerConfig, methods: ServiceConfig) -> (Client, Server) {
    let (client, server) = headwater_in_process::pair();
    (
        Client::with_service_config(client, methods),
        Server::new(server, router, config),
    )
}

async fn http2(router: Router, config: ServerConfig, methods: ServiceConfig) -> (Client, Server) {
    let server = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default())
        .await
        .expect("a free port on loopback");
    let url = format!("http://{}", server.local_addr());
    // Small, so that a test sees soon who is held back.
    let bounds = Http2ClientConfig {
        stream_window_bytes: 256 << 10,
        ..Http2ClientConfig::default()
    };
    let client = Http2Client::new(&url, &bounds);
    let client = Client::with_service_config(client.expect("a valid url"), methods);
    (client, Server::new(server, router, config))
}
