//! A network between a client and a server, that loses and reorders by a seed, or falls silent.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{net::UdpSocket, sync::mpsc, task::JoinSet};

/// What no datagram is longer than.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// Relays datagrams both ways.
pub(crate) struct Network {
    /// Where clients find the server.
    pub(crate) addr: SocketAddr,
    silent: Arc<AtomicBool>,
    largest: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

/// What happens to datagrams.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Of 100, how many are lost.
    pub(crate) lost: u64,
    /// Of 100, how many come 1 to 5 ms late, behind others that were sent after them.
    pub(crate) late: u64,
    /// Longer datagrams are lost, all of them.
    pub(crate) bytes_max: Option<usize>,
    pub(crate) seed: u64,
}

#[derive(Clone)]
struct Path {
    faults: Faults,
    silent: Arc<AtomicBool>,
    largest: Arc<AtomicUsize>,
    random: Arc<AtomicU64>,
}

impl Path {
    fn next(&self) -> u64 {
        let step = |state: u64| {
            let state = state.wrapping_mul(6_364_136_223_846_793_005);
            Some(state.wrapping_add(1_442_695_040_888_963_407))
        };
        let before = self
            .random
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        before.unwrap_or_default() >> 33
    }

    /// Takes a datagram to where it goes, or not.
    fn send(&self, through: &Arc<UdpSocket>, to: SocketAddr, datagram: &[u8]) {
        if self.silent.load(Ordering::Relaxed) || self.next() % 100 < self.faults.lost {
            return;
        }
        self.largest.fetch_max(datagram.len(), Ordering::Relaxed);
        if self
            .faults
            .bytes_max
            .is_some_and(|most| datagram.len() > most)
        {
            return;
        }
        if self.next() % 100 >= self.faults.late {
            let _ = through.try_send_to(datagram, to);
            return;
        }
        let (through, datagram) = (Arc::clone(through), datagram.to_vec());
        let delay = Duration::from_millis(1 + self.next() % 5);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let _ = through.send_to(&datagram, to).await;
        });
    }
}

impl Network {
    pub(crate) async fn to(server: SocketAddr, faults: Faults) -> Self {
        let inner = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let outside = Arc::new(inner.expect("a free port"));
        let addr = outside.local_addr().expect("it is bound");
        let silent = Arc::new(AtomicBool::new(false));
        let largest = Arc::new(AtomicUsize::new(0));
        let path = Path {
            faults,
            silent: Arc::clone(&silent),
            largest: Arc::clone(&largest),
            random: Arc::new(AtomicU64::new(faults.seed)),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(relay(outside, server, path));
        Self {
            addr,
            silent,
            largest,
            tasks,
        }
    }

    /// The length of the longest datagram that was sent into it.
    pub(crate) fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }

    /// Nothing comes through any more, in either direction, and nobody is told.
    pub(crate) fn fall_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }
}

async fn relay(outside: Arc<UdpSocket>, server: SocketAddr, path: Path) {
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut back = JoinSet::new();
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    let (gone, mut ended) = mpsc::unbounded_channel::<SocketAddr>();
    loop {
        let (length, client) = tokio::select! {
            Some(client) = ended.recv() => {
                clients.remove(&client);
                continue;
            }
            received = outside.recv_from(&mut datagram) => match received {
                Ok(received) => received,
                Err(_) => continue,
            },
        };
        let inside = match clients.get(&client) {
            Some(inside) => Arc::clone(inside),
            None => {
                let inside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await;
                let inside = Arc::new(inside.expect("a free port"));
                clients.insert(client, Arc::clone(&inside));
                let (outside, path, gone) = (Arc::clone(&outside), path.clone(), gone.clone());
                let answers = Arc::clone(&inside);
                back.spawn(async move {
                    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
                    while let Ok((length, _)) = answers.recv_from(&mut datagram).await {
                        path.send(&outside, client, &datagram[..length]);
                    }
                    let _ = gone.send(client);
                });
                inside
            }
        };
        path.send(&inside, server, &datagram[..length]);
    }
}
