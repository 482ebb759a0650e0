//! A server whose client is the test.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use headwater_proto::{
    Code, Status,
    pw_rpc::{PacketType, RpcPacket},
};
use headwater_rpc::{Router, Server, ServerConfig};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    FakeOutput,
    output::{is_end, method},
    wire::{MemoryLine, MemoryServer},
};

/// The channel on which tests call.
pub(super) const CHANNEL: u32 = 1;

/// A server of some routes, whose one client is the test: it says packets, and looks at what the server sends. Dropped,
/// the server stops, and its handlers are told.
///
/// # Panics
///
/// Methods that take a path panic if it is not `/service/method`; making one outside of a tokio runtime panics.
#[derive(Debug)]
pub struct ServerContext {
    server: Server,
    output: FakeOutput,
    inbox: mpsc::UnboundedSender<Bytes>,
    serving: JoinHandle<Result<(), Status>>,
    /// The id of the next call of [`ServerContext::unary`].
    next_unary: AtomicU32,
}

impl ServerContext {
    /// Serves these routes, with a server's default bounds.
    pub fn new(router: Router) -> Self {
        let output = FakeOutput::new();
        let kept = output.clone();
        let (line, inbox) = MemoryLine::new(Box::new(move |packet| kept.push(packet)));
        let server = Server::new(MemoryServer::new(line), router, ServerConfig::default());
        let running = server.clone();
        let serving = tokio::spawn(async move { running.serve().await });
        Self {
            server,
            output,
            inbox,
            serving,
            next_unary: AtomicU32::new(1 << 20),
        }
    }

    /// The server.
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// What the server has sent.
    pub const fn output(&self) -> &FakeOutput {
        &self.output
    }

    /// Has a packet come, whatever it says.
    pub fn send(&self, packet: &RpcPacket) {
        self.send_bytes(packet.to_bytes());
    }

    /// Has a message come, which need not be a packet.
    pub fn send_bytes(&self, message: Bytes) {
        // A server that has stopped hears nothing.
        let _ = self.inbox.send(message);
    }

    /// Starts a call. With a unary or server-streaming method, `message` is its request; with others it is empty.
    pub fn request(&self, path: &str, call_id: u32, message: impl Into<Bytes>) {
        self.say(PacketType::Request, path, call_id, message.into());
    }

    /// Sends a request of a client stream.
    pub fn stream(&self, path: &str, call_id: u32, message: impl Into<Bytes>) {
        self.say(PacketType::ClientStream, path, call_id, message.into());
    }

    /// Says that no requests follow.
    pub fn complete(&self, path: &str, call_id: u32) {
        let kind = PacketType::ClientRequestCompletion;
        self.say(kind, path, call_id, Bytes::new());
    }

    /// Cancels a call.
    pub fn cancel(&self, path: &str, call_id: u32) {
        let mut packet = packet(PacketType::ClientError, path, call_id);
        packet.status = u32::from(Code::Cancelled.number());
        self.send(&packet);
    }

    /// Makes a unary call, with an id of its own, from 2^20 on, and waits for its end.
    ///
    /// # Errors
    ///
    /// The status with which it ends; of pw_rpc, so without a message.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the call goes on, and its answer is in the output.
    pub async fn unary(&self, path: &str, message: impl Into<Bytes>) -> Result<Bytes, Status> {
        let call_id = self.next_unary.fetch_add(1, Ordering::Relaxed);
        self.request(path, call_id, message);
        let method = method(path);
        let is_answer = |packet: &&RpcPacket| {
            is_end(packet) && packet.method() == method && packet.call_id == call_id
        };
        let packets = self.output.until(|all| all.iter().any(|it| is_answer(&it)));
        let packets = packets.await;
        let gone = || Status::new(Code::Unavailable, "the server is gone");
        let answer = packets.iter().find(is_answer).ok_or_else(gone)?;
        answer.outcome().map(|()| answer.payload.clone())
    }

    fn say(&self, kind: PacketType, path: &str, call_id: u32, message: Bytes) {
        let mut packet = packet(kind, path, call_id);
        packet.payload = message;
        self.send(&packet);
    }
}

impl Drop for ServerContext {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A packet about a call of this method.
pub(super) fn packet(kind: PacketType, path: &str, call_id: u32) -> RpcPacket {
    RpcPacket::new(kind, CHANNEL, method(path), call_id)
}
