//! Hosts by the system's resolver.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    net::SocketAddr,
    time::Duration,
};

use async_trait::async_trait;
use headwater_core::BackOff;
use headwater_proto::{Code, Status};
use tokio::time::{Instant, sleep_until};

use super::{Address, Resolution, Resolver, Updates};

/// From one answer to the next question, as in gRPC's own resolvers: who cannot connect does not storm the name servers.
const INTERVAL_MIN: Duration = Duration::from_secs(30);

/// Resolves one host.
pub(super) struct Dns<L = System> {
    host: String,
    port: u16,
    lookup: L,
}

#[async_trait]
pub(super) trait Lookup: Send + Sync + 'static {
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// `getaddrinfo`, on a thread that may block.
pub(super) struct System;

#[async_trait]
impl Lookup for System {
    #[cfg(feature = "dns")]
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    #[cfg(not(feature = "dns"))]
    async fn lookup(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        let missing = "built without the feature `dns`";
        Err(io::Error::new(io::ErrorKind::Unsupported, missing))
    }
}

impl Dns {
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            lookup: System,
        }
    }
}

impl<L: Lookup> Dns<L> {
    async fn resolve(&self) -> Result<Resolution, Status> {
        let failed = |reason: &dyn std::fmt::Display| {
            Status::new(Code::Unavailable, format!("{}: {reason}", self.host))
        };
        let found = self.lookup.lookup(&self.host, self.port).await;
        let found = found.map_err(|error| failed(&error))?;
        if found.is_empty() {
            return Err(failed(&"no address"));
        }
        let addresses = found.into_iter().map(Address::Socket).collect();
        Ok(Resolution::addresses(addresses))
    }
}

#[async_trait]
impl<L: Lookup> Resolver for Dns<L> {
    async fn run(&mut self, updates: Updates) {
        let mut waits = BackOff::default().waits(RandomState::new().hash_one(&self.host));
        loop {
            updates.wanted().await;
            let resolution = self.resolve().await;
            let wait = if resolution.is_ok() {
                waits.reset();
                INTERVAL_MIN
            } else {
                waits.next_wait()
            };
            updates.push(resolution);
            sleep_until(Instant::now() + wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Notify;

    use super::*;

    /// Finds nobody at first, and notes when it is asked.
    struct Fake {
        failures: usize,
        start: Instant,
        asked: Arc<Mutex<Vec<Duration>>>,
    }

    #[async_trait]
    impl Lookup for Fake {
        async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            assert_eq!(host, "example.org");
            let mut asked = self.asked.lock().unwrap();
            asked.push(self.start.elapsed());
            if asked.len() <= self.failures {
                return Err(io::Error::other("no such host"));
            }
            Ok(vec![SocketAddr::from(([192, 0, 2, 1], port))])
        }
    }

    /// When a resolver asks within so many seconds of a channel that wants to know all the time.
    async fn asked(failures: usize, seconds: u64) -> Vec<Duration> {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let lookup = Fake {
            failures,
            start: Instant::now(),
            asked: Arc::clone(&asked),
        };
        let mut dns = Dns {
            host: "example.org".to_owned(),
            port: 80,
            lookup,
        };
        let wanted = Arc::new(Notify::new());
        let (updates, mut told) = Updates::new(Arc::clone(&wanted));
        let wants = async {
            loop {
                wanted.notify_one();
                if told.changed().await.is_err() {
                    return;
                }
            }
        };
        let runs = async { tokio::join!(dns.run(updates), wants) };
        let over = tokio::time::timeout(Duration::from_secs(seconds), runs).await;
        over.expect_err("it runs for ever");
        asked.lock().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_good_for_a_while() {
        let asked = asked(0, 100).await;
        let seconds: Vec<_> = asked.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [0, 30, 60, 90]);
    }

    /// S4-60: the resolver has its own back-off.
    #[tokio::test(start_paused = true)]
    async fn s4_60_failures_back_off() {
        let asked = asked(20, 1200).await;
        let mut expected = 1.0_f64;
        for pair in asked.windows(2) {
            let wait = (pair[1] - pair[0]).as_secs_f64();
            let bounds = expected * 0.79..expected * 1.21;
            assert!(bounds.contains(&wait), "{wait} is not in {bounds:?}");
            expected = (expected * 1.6).min(120.0);
        }
        assert!(asked.len() > 12, "it asks on: {asked:?}");
    }

    #[tokio::test]
    async fn s4_60_the_system_knows_localhost() {
        let mut dns = Dns::new("localhost", 4711);
        let wanted = Arc::new(Notify::new());
        wanted.notify_one();
        let (updates, mut told) = Updates::new(wanted);
        let first = async {
            let told = told.wait_for(Option::is_some).await;
            told.expect("the resolver runs").clone()
        };
        let told = tokio::select! {
            () = dns.run(updates) => None,
            told = first => told,
        };
        let resolution = told.expect("it was told").expect("it is known");
        let local = |address: &Address| match address {
            Address::Socket(socket) => socket.ip().is_loopback() && socket.port() == 4711,
            Address::Unix(_) => false,
        };
        assert!(resolution.addresses.iter().any(local), "{resolution:?}");
    }
}
