//! A line that is a list, and a client and a server on one.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_core::packet::Arrivals;
use headwater_proto::pw_rpc::RpcPacket;
use headwater_rpc::{
    Acceptor, ClientTransport, Code, Inbound, Outbound, Peer, RequestHeaders, ServerTransport,
    Status,
};
use tokio::sync::{mpsc, watch};

use crate::{
    client::Shared,
    session::{
        ClientSide, Line, Over, ServerSide, ServiceList, Session, SessionConfig, Side, window,
    },
};

/// What a call may hold, in bytes.
const WINDOW_BYTES: usize = 256 << 10;
/// Nobody asks a test for a sign of life.
const NEVER: Duration = Duration::from_secs(1 << 30);

/// Bounds as a socket has them by default, for a peer that has to be looked at to know what it speaks.
const BOUNDS: SessionConfig = SessionConfig {
    ping_interval: NEVER,
    ping_timeout: NEVER,
    idle_timeout: None,
    call_window_bytes: WINDOW_BYTES,
    calls_max: 1024,
    method_calls_max: None,
    is_extended: false,
};

/// Takes what one side sends.
pub(super) type Sink = Box<dyn FnMut(RpcPacket) + Send>;

/// One side's end of a line without a socket.
pub(super) struct MemoryLine {
    came: mpsc::UnboundedReceiver<Bytes>,
    sink: Sink,
    signs: u64,
}

impl MemoryLine {
    /// An end whose packets go into `sink`. What is sent to the other half comes in.
    pub(super) fn new(sink: Sink) -> (Self, mpsc::UnboundedSender<Bytes>) {
        let (inbox, came) = mpsc::unbounded_channel();
        let line = Self {
            came,
            sink,
            signs: 0,
        };
        (line, inbox)
    }
}

impl Line for MemoryLine {
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        arrivals: &mut Arrivals,
    ) -> Poll<Result<(), Over>> {
        loop {
            match self.came.poll_recv(cx) {
                Poll::Ready(Some(packet)) => arrivals.push(&packet),
                Poll::Ready(None) if arrivals.is_empty() => {
                    return Poll::Ready(Err(Over::gone("the other side was dropped")));
                }
                Poll::Pending if arrivals.is_empty() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        self.signs += 1;
        Poll::Ready(Ok(()))
    }

    fn signs(&self) -> u64 {
        self.signs
    }

    fn push(&mut self, packet: &RpcPacket) -> usize {
        (self.sink)(packet.clone());
        packet.to_bytes().len()
    }

    fn push_ping(&mut self) {}

    fn push_close(&mut self, _code: u16, _reason: &str) {}

    fn is_flushed(&self) -> bool {
        true
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_drain(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// The server's transport: one line.
pub(super) struct MemoryServer {
    line: Mutex<Option<MemoryLine>>,
    stopping: watch::Sender<bool>,
}

impl MemoryServer {
    pub(super) fn new(line: MemoryLine) -> Self {
        Self {
            line: Mutex::new(Some(line)),
            stopping: watch::Sender::new(false),
        }
    }
}

#[async_trait]
impl ServerTransport for MemoryServer {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        let line = take(&self.line)?;
        let services = Arc::new(ServiceList::new(acceptor.clone()));
        let peer = Peer::new("memory:client", "memory:server");
        let side = Side::accepted(ServerSide::new(acceptor, peer, services), None);
        let session = Session::new(line, side, Arc::default(), BOUNDS);
        let mut stopping = self.stopping.subscribe();
        session
            .run(async {
                // The sender is part of the server, which may be gone; that is as good.
                let _ = stopping.wait_for(|stopping| *stopping).await;
            })
            .await;
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        self.stopping.send_replace(true);
    }
}

/// The client's transport: one line.
pub(super) struct MemoryClient {
    line: Mutex<Option<MemoryLine>>,
    shared: Arc<Shared>,
}

impl MemoryClient {
    pub(super) fn new(line: MemoryLine) -> Self {
        Self {
            line: Mutex::new(Some(line)),
            shared: Shared::new(window(WINDOW_BYTES)),
        }
    }
}

#[async_trait]
impl ClientTransport for MemoryClient {
    async fn connect(&self) -> Result<(), Status> {
        let line = take(&self.line)?;
        let shared = Arc::clone(&self.shared);
        let desk = Arc::clone(shared.desk());
        let client = ClientSide {
            shared,
            awaits_unrequested: false,
        };
        let side = Side::dialled(client, None);
        let session = Session::new(line, side, desk, BOUNDS);
        session.run(std::future::pending()).await;
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        self.shared.close("the client is stopping");
    }

    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        match self.shared.open(headers, outbound) {
            Ok(inbound) => Ok(Box::new(inbound)),
            Err(_) => Err(self.shared.closed().await),
        }
    }
}

fn take(line: &Mutex<Option<MemoryLine>>) -> Result<MemoryLine, Status> {
    let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
    let used = || Status::new(Code::FailedPrecondition, "its line was used before");
    line.take().ok_or_else(used)
}
