//! Streams over the transports that encrypt or frame by themselves: HTTP/3 against tonic-h3 and against quinn alone, and
//! WebSocket against tungstenite alone.

mod endpoints;
mod over_quinn;
mod over_tonic_h3;
mod over_tungstenite;

use std::time::Duration;

use headwater_http3::{Http3Client, Http3ClientConfig, Http3Server, Http3ServerConfig};
use headwater_rpc::tls::DevCertificates;
use headwater_websocket::{
    WebSocketClient, WebSocketClientConfig, WebSocketServer, WebSocketServerConfig,
};

use crate::{
    contender::{Contender, Orders, measure},
    report::{Goal, Report},
    rpc::{Work, stubs},
};

const HTTP3: [(&str, Work); 3] = [
    ("http3 stream, 1 in flight", echo(1)),
    ("http3 stream, 64 in flight", echo(64)),
    ("http3 one-way, 128 B", ONE_WAY),
];

const WEBSOCKET: [(&str, Work); 3] = [
    ("websocket stream, 1 in flight", echo(1)),
    ("websocket stream, 64 in flight", echo(64)),
    ("websocket one-way, 128 B", ONE_WAY),
];

const ONE_WAY: Work = Work::Sink { bytes: 128 };

const fn echo(in_flight: usize) -> Work {
    Work::Echo {
        in_flight,
        bytes: 32,
    }
}

/// What is to be reached.
const GOALS: [Goal; 9] = [
    against_tonic_h3(
        0,
        "HTTP/3 at 1 in flight at least 1.2 times cheaper than tonic-h3",
    ),
    against_tonic_h3(
        1,
        "HTTP/3 at 64 in flight at least 1.2 times cheaper than tonic-h3",
    ),
    against_tonic_h3(2, "HTTP/3 one-way at least 1.2 times cheaper than tonic-h3"),
    against_quinn(0, "HTTP/3 at 1 in flight at most 1.3 times quinn alone"),
    against_quinn(1, "HTTP/3 at 64 in flight at most 1.3 times quinn alone"),
    against_quinn(2, "HTTP/3 one-way at most 1.3 times quinn alone"),
    against_tungstenite(
        0,
        "WebSocket at 1 in flight at most 1.5 times tungstenite alone",
    ),
    against_tungstenite(
        1,
        "WebSocket at 64 in flight at most 1.5 times tungstenite alone",
    ),
    against_tungstenite(2, "WebSocket one-way at most 1.5 times tungstenite alone"),
];

const fn against_tonic_h3(work: usize, words: &'static str) -> Goal {
    Goal {
        label: HTTP3[work].0,
        against: "tonic-h3",
        at_most: 1.0 / 1.2,
        words,
    }
}

const fn against_quinn(work: usize, words: &'static str) -> Goal {
    Goal {
        label: HTTP3[work].0,
        against: "quinn",
        at_most: 1.3,
        words,
    }
}

const fn against_tungstenite(work: usize, words: &'static str) -> Goal {
    Goal {
        label: WEBSOCKET[work].0,
        against: "tungstenite",
        at_most: 1.5,
        words,
    }
}

/// A contender's name and the orders of its client.
type Started = (&'static str, Orders<Work>);

/// Measures every work whose name begins with `only`; one contender alone, if it is named.
pub(crate) fn report(only: &str, alone: &str, rounds: usize, run: Duration) -> Report {
    let mut report = Report::new("message", "work", rounds, run, GOALS.into());
    let mut add = |works: &[(&str, Work)], start: fn() -> Vec<Started>| {
        let works = works.iter().filter(|(name, _)| name.starts_with(only));
        let mut works = works.peekable();
        if works.peek().is_none() {
            return;
        }
        let mut started = start();
        started.retain(|(name, _)| alone.is_empty() || *name == alone);
        if started.is_empty() {
            return;
        }
        for &(name, work) in works {
            let contenders = started.iter().map(|(name, orders)| Contender {
                name,
                run: Box::new(move |run| orders.run(work, run)),
                process: None,
            });
            let contenders: Vec<_> = contenders.collect();
            report.add(name.to_owned(), measure(&contenders, rounds, run));
        }
    };
    add(&HTTP3, http3);
    add(&WEBSOCKET, websocket);
    report
}

fn http3() -> Vec<Started> {
    let certificates = DevCertificates::generate().expect("randomness");
    vec![
        ("headwater", over_http3(&certificates)),
        ("tonic-h3", over_tonic_h3::start(&certificates)),
        ("quinn", over_quinn::start(&certificates)),
    ]
}

fn websocket() -> Vec<Started> {
    vec![
        ("headwater", over_websocket()),
        ("tungstenite", over_tungstenite::start()),
    ]
}

fn over_http3(certificates: &DevCertificates) -> Orders<Work> {
    let tls = certificates.server();
    let bind = async {
        let server = Http3Server::bind("127.0.0.1:0", tls, Http3ServerConfig::default()).await;
        let server = server.expect("a free port");
        (server.local_addr(), server)
    };
    let config = Http3ClientConfig {
        tls: certificates.client(),
        ..Http3ClientConfig::default()
    };
    stubs::start(bind, move |address| {
        Http3Client::new(&format!("h3://{address}"), &config).expect("a URL")
    })
}

fn over_websocket() -> Orders<Work> {
    let bind = async {
        let server = WebSocketServer::bind("127.0.0.1:0", WebSocketServerConfig::default()).await;
        let server = server.expect("a free port");
        (server.local_addr(), server)
    };
    stubs::start(bind, |address| {
        let config = WebSocketClientConfig::default();
        WebSocketClient::new(&format!("ws://{address}"), &config).expect("a URL")
    })
}
