//! Headwater's in-process transport: calls without a socket.
//!
//! [`pair`] gives the two ends. The same machine checks both sides as on any other transport, each end pulls what the
//! other sends, and each direction holds at most one window and one batch: back-pressure, limits, deadlines and
//! cancellation are those of a network, and a test sees them. Messages are handed over without a copy.
//!
//! There is no registry of the process: whoever holds an end can use it, and nobody else. Who wants names, such as for URLs,
//! makes [`Names`] and gives them to both sides.

mod names;

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use headwater_rpc::{
    AcceptedStream, Acceptor, ClientTransport, Closed, Code, Inbound, Outbound, Peer, Pulled,
    Received, RequestHeaders, ServerTransport, Status,
};
use tokio::{select, sync::watch};

pub use names::Names;

/// The client's end.
pub struct InProcessClient {
    listener: Arc<watch::Sender<Listener>>,
    /// Nobody may wait for the server any more.
    refusing: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
}

/// The server's end.
pub struct InProcessServer {
    listener: Arc<watch::Sender<Listener>>,
    /// Then the listener may be that of another server of the same name.
    stopped: AtomicBool,
}

enum Listener {
    /// No server has the name.
    Absent,
    NotStarted,
    Listening(Acceptor),
    Stopped,
}

/// Two ends that belong together. Calls wait until the server listens.
pub fn pair() -> (InProcessClient, InProcessServer) {
    let listener = Arc::new(watch::Sender::new(Listener::NotStarted));
    let client = InProcessClient::new(Arc::clone(&listener));
    (client, InProcessServer::new(listener))
}

#[async_trait]
impl ClientTransport for InProcessClient {
    async fn connect(&self) -> Result<(), Status> {
        let mut stopping = self.stopping.subscribe();
        // The sender is part of `self`, so it cannot be gone.
        let _ = stopping.wait_for(|stopping| *stopping).await;
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        self.stopping.send_replace(true);
    }

    fn refuse_waiting(&self) {
        self.refusing.send_replace(true);
    }

    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        let mut refusing = self.refusing.subscribe();
        let acceptor = select! {
            biased;
            acceptor = self.acceptor() => acceptor?,
            // The sender is part of `self`, so it cannot be gone.
            _ = refusing.wait_for(|refusing| *refusing) => {
                let message = "the client is stopping, and the server has not started";
                return Err(Status::new(Code::FailedPrecondition, message));
            }
        };
        let here = format!("in-process:{}", process::id());
        let peer = Peer::new(here.clone(), here);
        let requests = Box::new(Pipe(outbound));
        let responses = acceptor.accept(AcceptedStream::new(headers, peer, requests));
        Ok(Box::new(Pipe(responses)))
    }
}

impl InProcessClient {
    fn new(listener: Arc<watch::Sender<Listener>>) -> Self {
        Self {
            listener,
            refusing: watch::Sender::new(false),
            stopping: watch::Sender::new(false),
        }
    }

    async fn acceptor(&self) -> Result<Acceptor, Status> {
        let mut listener = self.listener.subscribe();
        let started = listener
            .wait_for(|listener| !matches!(listener, Listener::NotStarted))
            .await;
        match started.as_deref() {
            Ok(Listener::Listening(acceptor)) => Ok(acceptor.clone()),
            Ok(Listener::Absent) => Err(Status::new(
                Code::Unavailable,
                "no server in this process has that name",
            )),
            Ok(Listener::NotStarted | Listener::Stopped) | Err(_) => Err(Status::new(
                Code::FailedPrecondition,
                "the server is stopping or stopped",
            )),
        }
    }
}

impl InProcessServer {
    const fn new(listener: Arc<watch::Sender<Listener>>) -> Self {
        Self {
            listener,
            stopped: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl ServerTransport for InProcessServer {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        let mut listener = self.listener.subscribe();
        self.listener.send_if_modified(|listener| {
            let stopped = self.stopped.load(Ordering::Relaxed);
            let first = !stopped && matches!(listener, Listener::NotStarted);
            if first {
                *listener = Listener::Listening(acceptor);
            }
            first
        });
        // The sender is part of `self`, so it cannot be gone.
        let _ = listener
            .wait_for(|_| self.stopped.load(Ordering::Relaxed))
            .await;
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        // Once: a name that is free again may have been taken.
        if !self.stopped.swap(true, Ordering::Relaxed) {
            self.listener.send_replace(Listener::Stopped);
        }
    }
}

impl Drop for InProcessServer {
    /// Whoever waits for a server that will never listen is told so.
    fn drop(&mut self) {
        self.begin_graceful_shutdown();
    }
}

/// What one side sends is what the other receives.
struct Pipe(Outbound);

impl Inbound for Pipe {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let pulled = self.0.poll_frames(cx, &mut received.frames);
        pulled.map(|pulled| match pulled {
            Pulled::Frames => Ok(()),
            Pulled::Reset(code) => Err(Closed::cancelled(code)),
            Pulled::Done => Err(Closed::without_status()),
        })
    }
}
