//! Servers at made-up addresses, and connections to them that can be refused, held up, closed and cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_rpc::{
    AcceptedStream, Acceptor, Closed, Code, Inbound, IncomingCall, Metadata, Outbound, Peer,
    Pulled, Received, RequestHeaders, Router, Server, ServerConfig, ServerTransport, Status,
    channel::{Address, Connection, Connector, Unopened},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// A unary method that answers with the port of its server.
pub(crate) const WHO: &str = "/test.Network/Who";
/// A streaming method that sends everything back.
pub(crate) const ECHO: &str = "/test.Network/Echo";

#[derive(Clone)]
pub(crate) struct Network(Arc<Shared>);

struct Shared {
    start: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    endpoints: BTreeMap<u16, Endpoint>,
    refusing: BTreeSet<u16>,
    attempts: Vec<(Duration, u16)>,
    timeouts: Vec<Option<Duration>>,
    left_gracefully: Vec<u16>,
    connections: Vec<(u16, Arc<Wire>)>,
}

enum Endpoint {
    Up(Acceptor),
    /// Neither takes connections nor refuses them.
    Silent,
}

pub(crate) fn address(port: u16) -> Address {
    Address::Socket(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

impl Network {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            start: Instant::now(),
            state: Mutex::new(State::default()),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no test panics with this held")
    }

    /// Starts a server at this port.
    pub(crate) async fn up(&self, port: u16) {
        let (accepts, mut acceptors) = mpsc::channel(1);
        let server = Server::new(Listener(accepts), router(port), ServerConfig::default());
        tokio::spawn(async move { server.serve().await });
        let acceptor = acceptors.recv().await.expect("the server listens");
        let endpoint = Endpoint::Up(acceptor);
        self.state().endpoints.insert(port, endpoint);
    }

    /// Attempts to connect to this port hang from now on.
    pub(crate) fn silence(&self, port: u16) {
        self.state().endpoints.insert(port, Endpoint::Silent);
    }

    /// The connections to this port take no more streams, and say so if they are asked.
    pub(crate) fn go_away(&self, port: u16) {
        for wire in self.wires(port) {
            wire.refuses.send_replace(true);
            wire.closed.send_replace(true);
        }
    }

    /// As [`Network::go_away`], but only who opens a stream finds out.
    pub(crate) fn refuse_streams(&self, port: u16) {
        for wire in self.wires(port) {
            wire.refuses.send_replace(true);
        }
    }

    /// The connections to this port that are still to come take no stream at all.
    pub(crate) fn refuse_every_stream(&self, port: u16) {
        self.state().refusing.insert(port);
    }

    fn wires(&self, port: u16) -> Vec<Arc<Wire>> {
        let state = self.state();
        let wires = state.connections.iter().filter(|(at, _)| *at == port);
        wires.map(|(_, wire)| Arc::clone(wire)).collect()
    }

    /// When each attempt was made and to which port.
    pub(crate) fn attempts(&self) -> Vec<(Duration, u16)> {
        self.state().attempts.clone()
    }

    /// The ports of the connections that are held.
    pub(crate) fn connections(&self) -> Vec<u16> {
        self.state()
            .connections
            .iter()
            .map(|(port, _)| *port)
            .collect()
    }

    /// The ports of the connections that were told to end gracefully.
    pub(crate) fn left_gracefully(&self) -> Vec<u16> {
        self.state().left_gracefully.clone()
    }

    /// What the servers were told of the time that calls have.
    pub(crate) fn timeouts(&self) -> Vec<Option<Duration>> {
        self.state().timeouts.clone()
    }
}

#[async_trait]
impl Connector for Network {
    async fn connect(&self, to: &Address) -> Result<Box<dyn Connection>, Status> {
        let Address::Socket(socket) = to else {
            return Err(Status::new(Code::Unavailable, "not on this network"));
        };
        let port = socket.port();
        let acceptor = {
            let mut state = self.state();
            state.attempts.push((self.0.start.elapsed(), port));
            match state.endpoints.get(&port) {
                Some(Endpoint::Up(acceptor)) => Some(acceptor.clone()),
                Some(Endpoint::Silent) => None,
                None => return Err(Status::new(Code::Unavailable, "connection refused")),
            }
        };
        let Some(acceptor) = acceptor else {
            return std::future::pending().await;
        };
        let wire = Arc::new(Wire::default());
        let mut state = self.state();
        wire.refuses.send_replace(state.refusing.contains(&port));
        state.connections.push((port, Arc::clone(&wire)));
        drop(state);
        Ok(Box::new(FakeConnection {
            network: self.clone(),
            port,
            acceptor,
            wire,
        }))
    }
}

struct FakeConnection {
    network: Network,
    port: u16,
    acceptor: Acceptor,
    wire: Arc<Wire>,
}

/// What both ends of a connection and the test share.
#[derive(Default)]
struct Wire {
    refuses: watch::Sender<bool>,
    closed: watch::Sender<bool>,
    cut: Mutex<Cut>,
}

#[derive(Default)]
struct Cut {
    done: bool,
    wakers: Vec<Waker>,
}

#[async_trait]
impl Connection for FakeConnection {
    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Unopened> {
        if *self.wire.refuses.borrow() {
            let status = Status::new(Code::Unavailable, "no more streams");
            return Err(Unopened {
                status,
                headers,
                outbound,
            });
        }
        self.network.state().timeouts.push(headers.timeout);
        let peer = Peer::new("client", format!("port:{}", self.port));
        let requests = Box::new(Pipe::new(outbound, &self.wire));
        let stream = AcceptedStream::new(headers, peer, requests);
        let responses = self.acceptor.accept(stream);
        Ok(Box::new(Pipe::new(responses, &self.wire)))
    }

    async fn closed(&self) -> Status {
        let mut closed = self.wire.closed.subscribe();
        let _ = closed.wait_for(|closed| *closed).await;
        Status::new(Code::Unavailable, "the server goes away")
    }

    fn begin_graceful_shutdown(&self) {
        self.wire.refuses.send_replace(true);
        self.network.state().left_gracefully.push(self.port);
    }
}

impl Drop for FakeConnection {
    fn drop(&mut self) {
        let mut state = self.network.state();
        state
            .connections
            .retain(|(_, wire)| !Arc::ptr_eq(wire, &self.wire));
        drop(state);
        let mut cut = self.wire.cut.lock().expect("not poisoned");
        cut.done = true;
        let wakers = std::mem::take(&mut cut.wakers);
        drop(cut);
        for waker in wakers {
            waker.wake();
        }
    }
}

/// What one side sends is what the other receives, until the wire is cut.
struct Pipe {
    outbound: Outbound,
    wire: Arc<Wire>,
}

impl Pipe {
    fn new(outbound: Outbound, wire: &Arc<Wire>) -> Self {
        let wire = Arc::clone(wire);
        Self { outbound, wire }
    }
}

impl Inbound for Pipe {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let mut cut = self.wire.cut.lock().expect("not poisoned");
        if cut.done {
            return Poll::Ready(Err(Closed::broken("the connection was cut")));
        }
        if !cut.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            cut.wakers.push(cx.waker().clone());
        }
        drop(cut);
        self.outbound
            .poll_frames(cx, &mut received.frames)
            .map(|pulled| match pulled {
                Pulled::Frames => Ok(()),
                Pulled::Reset(code) => Err(Closed::cancelled(code)),
                Pulled::Done => Err(Closed::without_status()),
            })
    }
}

/// Gives its acceptor away, and listens for ever.
struct Listener(mpsc::Sender<Acceptor>);

#[async_trait]
impl ServerTransport for Listener {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        let _ = self.0.send(acceptor).await;
        std::future::pending().await
    }

    fn begin_graceful_shutdown(&self) {}
}

fn router(port: u16) -> Router {
    let router = Router::new();
    router.unary(
        WHO,
        move |_| async move { Ok(Bytes::from(port.to_string())) },
    );
    router.stream(ECHO, echo);
    router
}

async fn echo(mut call: IncomingCall) {
    let mut messages = Vec::new();
    loop {
        match call.receiver.next_batch(&mut messages).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => return,
        }
        for message in messages.drain(..) {
            let _ = call.sender.send(message).await;
        }
    }
    let _ = call.sender.finish(Ok(()), Metadata::new());
}
