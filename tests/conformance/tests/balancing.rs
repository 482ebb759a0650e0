//! One client over several servers that come and go.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_rpc::{
    CallOptions, Client, Metadata, Router, Server, ServerConfig, Status, channel::Policy,
};
use tokio::{task::JoinHandle, task::yield_now, time::timeout};

const WHO: &str = "/headwater.test.Who/Who";
/// Beyond this a case hangs.
const HANG: Duration = Duration::from_secs(30);
const CALLERS: usize = 4;

/// A server that counts its calls.
struct Node {
    addr: SocketAddr,
    server: Server,
    serving: JoinHandle<Result<(), Status>>,
    answered: Arc<AtomicUsize>,
}

impl Node {
    async fn start(addr: SocketAddr) -> Self {
        let answered = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&answered);
        let router = Router::new();
        router.unary(WHO, move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok(Bytes::new()) }
        });
        let transport = Http2Server::bind(addr, Http2ServerConfig::default()).await;
        let transport = transport.expect("the port is free");
        let addr = transport.local_addr();
        let server = Server::new(transport, router, ServerConfig::default());
        let serves = server.clone();
        Self {
            addr,
            server,
            serving: tokio::spawn(async move { serves.serve().await }),
            answered,
        }
    }

    /// Leaves gracefully; where it was.
    async fn stop(self) -> SocketAddr {
        self.server.begin_graceful_shutdown();
        let served = timeout(HANG, self.serving).await.expect("it drains");
        assert_eq!(served.expect("no panic"), Ok(()));
        self.addr
    }

    /// Waits until so many more calls were answered.
    async fn answers(&self, more: usize, when: &str) {
        let enough = self.answered.load(Ordering::Relaxed) + more;
        let waiting = async {
            while self.answered.load(Ordering::Relaxed) < enough {
                yield_now().await;
            }
        };
        let waited = timeout(HANG, waiting).await;
        assert!(waited.is_ok(), "{} is not called {when}", self.addr);
    }
}

fn client_of(nodes: &[&Node]) -> Client {
    let mut config = Http2ClientConfig::default();
    config.channel.balancer.policy = Policy::RoundRobin;
    config.channel.balancer.back_off.initial = Duration::from_millis(10);
    config.channel.balancer.back_off.max = Duration::from_millis(10);
    let addresses: Vec<_> = nodes.iter().map(|node| node.addr.to_string()).collect();
    let target = format!("ipv4:{}", addresses.join(","));
    let transport = Http2Client::to(&target, "example.org", &config);
    let client = Client::new(transport.expect("a valid target"));
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    client
}

/// Calls again and again, waiting for ready, until told to stop. Fails with the first call that fails.
async fn load(client: Client, stop: Arc<AtomicBool>) -> Result<(), Status> {
    while !stop.load(Ordering::Relaxed) {
        let options = CallOptions {
            timeout: Some(HANG),
            wait_for_ready: Some(true),
            ..CallOptions::default()
        };
        let call = client.unary(WHO, Metadata::new(), Bytes::new(), options);
        call.await?;
    }
    Ok(())
}

/// S4-02, S4-61: a client is one object while its servers come and go under load, and no call notices.
#[tokio::test]
async fn s4_02_s4_61_a_server_leaves_and_comes_back_under_load() {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let (first, second) = (Node::start(free).await, Node::start(free).await);
    let client = client_of(&[&first, &second]);
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| tokio::spawn(load(client.clone(), Arc::clone(&stop))))
        .collect();

    first.answers(20, "in turn").await;
    second.answers(20, "in turn").await;
    let addr = first.stop().await;
    second.answers(50, "alone").await;
    let first = Node::start(addr).await;
    first.answers(20, "after it came back").await;
    second.answers(20, "in turn again").await;

    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        assert_eq!(caller.await.expect("no panic"), Ok(()), "a call failed");
    }
}

/// S4-02: with all servers away, calls that wait for ready go to the first that comes.
#[tokio::test]
async fn s4_02_calls_wait_while_all_servers_are_away() {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let (first, second) = (Node::start(free).await, Node::start(free).await);
    let client = client_of(&[&first, &second]);
    let stop = Arc::new(AtomicBool::new(false));
    let caller = tokio::spawn(load(client, Arc::clone(&stop)));
    first.answers(5, "in turn").await;
    first.stop().await;
    let addr = second.stop().await;
    let back = Node::start(addr).await;
    back.answers(5, "as the only one").await;
    stop.store(true, Ordering::Relaxed);
    assert_eq!(caller.await.expect("no panic"), Ok(()), "a call failed");
}
