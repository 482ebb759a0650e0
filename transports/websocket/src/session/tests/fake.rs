//! A socket that is a list, and a server session on it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_core::packet::Arrivals;
use headwater_proto::pw_rpc::{MethodId, PacketType, RpcPacket};
use headwater_rpc::{Acceptor, Peer, Router, Server, ServerConfig, ServerTransport, Status};
use tokio::sync::{mpsc, oneshot, watch};

use crate::session::{Line, Over, ServerSide, ServiceList, Session, SessionConfig, Side};

/// What the peer of a fake socket does.
pub(super) enum Came {
    Message(Bytes),
    /// Something that is no message: a pong, or a piece of a long message.
    Sign,
    Over(Over),
}

/// What the session did.
#[derive(Default)]
pub(super) struct Log {
    pub(super) packets: Vec<RpcPacket>,
    pub(super) pings: usize,
    pub(super) close: Option<(u16, String)>,
    /// Flushes that had something to write.
    pub(super) flushes: usize,
    /// Bytes that wait.
    pub(super) unflushed: usize,
    pub(super) unflushed_most: usize,
    /// Nothing is taken.
    pub(super) is_blocked: bool,
    /// Messages that were read.
    pub(super) messages: usize,
    flusher: Option<Waker>,
}

struct FakeLine {
    came: mpsc::UnboundedReceiver<Came>,
    log: Arc<Mutex<Log>>,
    signs: u64,
    was_blocked: bool,
}

impl Line for FakeLine {
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        arrivals: &mut Arrivals,
    ) -> Poll<Result<(), Over>> {
        let mut is_first = true;
        let mut count = 0;
        loop {
            let came = match self.came.poll_recv(cx) {
                Poll::Ready(came) => came,
                Poll::Pending if is_first => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
            };
            is_first = false;
            self.signs += 1;
            match came {
                Some(Came::Message(message)) => {
                    self.log.lock().unwrap().messages += 1;
                    arrivals.push(&message);
                    count += 1;
                    // About what one read takes.
                    if count == 1000 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Some(Came::Sign) => return Poll::Ready(Ok(())),
                Some(Came::Over(over)) => return Poll::Ready(Err(over)),
                None => return Poll::Ready(Err(Over::gone("the test is over"))),
            }
        }
    }

    fn signs(&self) -> u64 {
        self.signs
    }

    fn push(&mut self, packet: &RpcPacket) -> usize {
        let bytes = packet.to_bytes().len();
        let mut log = self.log.lock().unwrap();
        log.packets.push(packet.clone());
        log.unflushed += bytes;
        log.unflushed_most = log.unflushed_most.max(log.unflushed);
        bytes
    }

    fn push_ping(&mut self) {
        self.log.lock().unwrap().pings += 1;
    }

    fn push_close(&mut self, code: u16, reason: &str) {
        self.log.lock().unwrap().close = Some((code, reason.to_owned()));
    }

    fn is_flushed(&self) -> bool {
        self.log.lock().unwrap().unflushed == 0
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut log = self.log.lock().unwrap();
        if log.is_blocked {
            self.was_blocked = true;
            log.flusher = Some(cx.waker().clone());
            return Poll::Pending;
        }
        log.flushes += usize::from(log.unflushed > 0);
        log.unflushed = 0;
        self.signs += u64::from(std::mem::take(&mut self.was_blocked));
        Poll::Ready(Ok(()))
    }

    fn poll_drain(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// The peer's end of a fake socket on which a server session runs.
pub(super) struct Fake {
    came: mpsc::UnboundedSender<Came>,
    log: Arc<Mutex<Log>>,
    pub(super) session: tokio::task::JoinHandle<()>,
    pub(super) stopping: watch::Sender<bool>,
    pub(super) server: Server,
}

/// Bounds for a peer that is known to have the extension.
pub(super) const fn bounds() -> SessionConfig {
    SessionConfig {
        ping_interval: std::time::Duration::from_secs(5),
        ping_timeout: std::time::Duration::from_secs(3),
        idle_timeout: None,
        call_window_bytes: 256 << 10,
        calls_max: 100,
        method_calls_max: None,
        is_extended: true,
    }
}

impl Fake {
    pub(super) async fn serve(router: Router, config: SessionConfig) -> Self {
        let (given, acceptor) = oneshot::channel();
        let transport = Capture(Mutex::new(Some(given)));
        let server = Server::new(transport, router, ServerConfig::default());
        let serving = server.clone();
        tokio::spawn(async move { serving.serve().await });
        let acceptor = acceptor.await.expect("it listens");
        let (came, receiver) = mpsc::unbounded_channel();
        let log = Arc::<Mutex<Log>>::default();
        let line = FakeLine {
            came: receiver,
            log: Arc::clone(&log),
            signs: 0,
            was_blocked: false,
        };
        let services = Arc::new(ServiceList::new(acceptor.clone()));
        let side = ServerSide::new(acceptor, Peer::new("there", "here"), services);
        let session = Session::new(line, Side::accepted(side, None), Arc::default(), config);
        let (stopping, mut stopped) = watch::channel(false);
        let session = tokio::spawn(session.run(async move {
            let _ = stopped.wait_for(|stopping| *stopping).await;
        }));
        Self {
            came,
            log,
            session,
            stopping,
            server,
        }
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    pub(super) fn comes(&self, came: Came) {
        let _ = self.came.send(came);
    }

    pub(super) fn says(&self, packet: &RpcPacket) {
        self.comes(Came::Message(packet.to_bytes()));
    }

    /// The socket takes everything again.
    pub(super) fn unblock(&self) {
        let mut log = self.log();
        log.is_blocked = false;
        let waker = log.flusher.take();
        drop(log);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until this is so, while others run; a paused clock stands still meanwhile.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Log) -> bool) {
        for _ in 0..10_000 {
            if holds(&self.log()) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("never: {what}");
    }
}

/// Gives away what takes its calls.
struct Capture(Mutex<Option<oneshot::Sender<Acceptor>>>);

#[async_trait]
impl ServerTransport for Capture {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        if let Some(given) = self.0.lock().unwrap().take() {
            let _ = given.send(acceptor);
        }
        std::future::pending().await
    }

    fn begin_graceful_shutdown(&self) {}
}

/// A packet about a call of this method.
pub(super) fn packet(kind: PacketType, path: &str, call_id: u32) -> RpcPacket {
    let method = MethodId::of_path(path).expect("a path");
    RpcPacket::new(kind, 1, method, call_id)
}

/// A request with its one message, of a peer that has the extension.
pub(super) fn request(path: &str, call_id: u32, message: &str) -> RpcPacket {
    let mut packet = packet(PacketType::Request, path, call_id);
    packet.payload = Bytes::from(message.to_owned());
    let extension = packet.extend();
    extension.has_message = true;
    extension.half_close = true;
    packet
}

/// A request without a message yet.
pub(super) fn open(path: &str, call_id: u32) -> RpcPacket {
    let mut packet = packet(PacketType::Request, path, call_id);
    packet.extend();
    packet
}
