//! Connections that end all the time are no affair of the calls on them: those that a connection crosses with its end have
//! come to no handler, and go to the next one by themselves (gRFC A6, "Transparent Retries").

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_http3::{Http3Client, Http3ClientConfig, Http3Server, Http3ServerConfig};
use headwater_rpc::{
    CallOptions, Client, ClientTransport, Code, Metadata, Router, Server, ServerConfig,
    ServerTransport, Status, tls::DevCertificates,
};
use tokio::task::JoinHandle;

const ECHO: &str = "/headwater.test.Ages/Echo";
/// Much longer than a connection takes to come up, even on a busy machine: a call that crosses the end of two connections
/// in a row fails, as it has to.
const AGE: Duration = Duration::from_millis(100);
const CALLERS: usize = 10;
const CALLS_EACH: usize = 50;
/// They call on until so many calls have crossed the end of a connection, but not for ever.
const CROSSED: u64 = 5;
const CALLS_EACH_MAX: usize = 1000;
/// So soon there is another connection.
const BACK_OFF: Duration = Duration::from_millis(2);

/// How often each request was handled, and by which connections.
#[derive(Default)]
struct Handled {
    requests: BTreeMap<Bytes, usize>,
    peers: BTreeSet<String>,
}

type Log = Arc<Mutex<Handled>>;

fn router(log: &Log) -> Router {
    let log = Arc::clone(log);
    let router = Router::new();
    router.unary(ECHO, move |request| {
        let log = Arc::clone(&log);
        async move {
            let mut log = handled(&log);
            *log.requests.entry(request.message.clone()).or_default() += 1;
            log.peers.insert(request.peer.to_string());
            Ok::<_, Status>(request.message)
        }
    });
    router
}

fn serve(transport: impl ServerTransport, log: &Log) -> (Server, JoinHandle<Result<(), Status>>) {
    let server = Server::new(transport, router(log), ServerConfig::default());
    let serving = server.clone();
    (server, tokio::spawn(async move { serving.serve().await }))
}

fn client(transport: impl ClientTransport) -> Client {
    let client = Client::new(transport);
    let connecting = client.clone();
    tokio::spawn(async move { connecting.connect().await });
    client
}

fn have_crossed(client: &Client, _: &Handled) -> bool {
    client.retry_counters().transparent_retries >= CROSSED
}

fn handled(log: &Log) -> MutexGuard<'_, Handled> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Callers that call one after the other until all has happened. None may fail, and no request is handled twice.
async fn call_all(
    client: &Client,
    log: &Log,
    all: fn(&Client, &Handled) -> bool,
    name: &'static str,
) {
    let callers = (0..CALLERS).map(|caller| {
        let (client, log) = (client.clone(), Arc::clone(log));
        tokio::spawn(async move {
            for calls in 0..CALLS_EACH_MAX {
                if calls >= CALLS_EACH && all(&client, &handled(&log)) {
                    return calls;
                }
                let request = Bytes::from(format!("{caller}-{calls}"));
                let (metadata, options) = (Metadata::new(), CallOptions::default());
                let answer = client.unary(ECHO, metadata, request.clone(), options).await;
                assert_eq!(answer, Ok(request), "{name}");
            }
            CALLS_EACH_MAX
        })
    });
    let mut calls = 0;
    for caller in callers.collect::<Vec<_>>() {
        let made = caller.await;
        calls += made.unwrap_or_else(|error| panic!("{name}: a call failed: {error}"));
    }
    let handled = handled(log);
    assert_eq!(handled.requests.len(), calls, "{name}: handled at all");
    let twice: Vec<_> = handled
        .requests
        .iter()
        .filter(|(_, count)| **count > 1)
        .collect();
    assert_eq!(twice, [], "{name}: handled more than once");
}

/// S4-54 and S4-66: a server whose connections live for a tenth of a second fails none of 500 calls and more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s4_54_no_call_fails_because_its_connection_is_too_old() {
    let log = Log::default();
    let config = Http2ServerConfig {
        connection_age_max: Some(AGE),
        ..Http2ServerConfig::default()
    };
    let transport = Http2Server::bind("127.0.0.1:0", config).await;
    let transport = transport.expect("a free port on loopback");
    let url = format!("http://{}", transport.local_addr());
    let (_server, serving) = serve(transport, &log);
    let mut config = Http2ClientConfig::default();
    config.channel.balancer.back_off.initial = BACK_OFF;
    let transport = Http2Client::new(&url, &config).expect("a valid url");
    call_all(&client(transport), &log, have_crossed, "http2").await;
    serving.abort();

    let log = Log::default();
    let certificates = DevCertificates::generate().expect("the system has randomness");
    let config = Http3ServerConfig {
        connection_age_max: Some(AGE),
        ..Http3ServerConfig::default()
    };
    let transport = Http3Server::bind("127.0.0.1:0", certificates.server(), config).await;
    let transport = transport.expect("a free port on loopback");
    let url = format!("h3://{}", transport.local_addr());
    let (_server, serving) = serve(transport, &log);
    let mut config = Http3ClientConfig {
        tls: certificates.client(),
        ..Http3ClientConfig::default()
    };
    config.channel.balancer.back_off.initial = BACK_OFF;
    let transport = Http3Client::new(&url, &config).expect("a valid url");
    call_all(&client(transport), &log, have_crossed, "http3").await;
    serving.abort();
}

/// S4-54: of two servers one after the other is replaced, as in a rolling restart, while calls go on: none fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s4_54_no_call_fails_while_its_server_is_replaced() {
    let log = Log::default();
    let bind = async || {
        let bound = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default()).await;
        bound.expect("a free port on loopback")
    };
    let (old, new) = (bind().await, bind().await);
    let target = format!("ipv4:{},{}", old.local_addr(), new.local_addr());
    let (leaving, left) = serve(old, &log);
    let (_staying, serving) = serve(new, &log);
    let config = Http2ClientConfig::default();
    let transport = Http2Client::to(&target, "localhost", &config).expect("a valid target");
    let client = client(transport);
    let (metadata, options) = (Metadata::new(), CallOptions::default());
    let first = client.unary("/headwater.test.Ages/None", metadata, Bytes::new(), options);
    let code = first.await.map_err(|status| status.code);
    assert_eq!(code, Err(Code::Unimplemented), "it is connected");
    let both = |_: &Client, handled: &Handled| handled.peers.len() > 1;
    let leave = async {
        while handled(&log).requests.len() < CALLERS {
            tokio::task::yield_now().await;
        }
        leaving.begin_graceful_shutdown();
    };
    tokio::join!(call_all(&client, &log, both, "http2"), leave);
    assert_eq!(left.await.expect("no panic"), Ok(()));
    serving.abort();
}
