//! A client and a server, and what passes between them.

use std::sync::{Arc, OnceLock};

use headwater_proto::{Status, pw_rpc::RpcPacket};
use headwater_rpc::{Client, Router, Server, ServerConfig};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    FakeOutput,
    wire::{MemoryClient, MemoryLine, MemoryServer, Sink},
};

/// Sees each packet on its way to the other side, and gives what arrives in its place: the packet, changed or not; none,
/// and it is lost; two, and the second is one too many. Any `FnMut(RpcPacket) -> Vec<RpcPacket>` is one.
pub trait PacketProcessor: Send + 'static {
    /// What arrives in place of this packet.
    fn process(&mut self, packet: RpcPacket) -> Vec<RpcPacket>;
}

impl<F: FnMut(RpcPacket) -> Vec<RpcPacket> + Send + 'static> PacketProcessor for F {
    fn process(&mut self, packet: RpcPacket) -> Vec<RpcPacket> {
        self(packet)
    }
}

/// A client and a server in memory, with all packets kept as they were sent. Dropped, both stop.
///
/// # Panics
///
/// Making one outside of a tokio runtime panics.
#[derive(Debug)]
pub struct ClientServerContext {
    client: Client,
    server: Server,
    sent_by_client: FakeOutput,
    sent_by_server: FakeOutput,
    running: [JoinHandle<Result<(), Status>>; 2],
}

impl ClientServerContext {
    /// Every packet arrives as it was sent.
    pub fn new(router: Router) -> Self {
        let unchanged = |packet| vec![packet];
        Self::with_processors(router, unchanged, unchanged)
    }

    /// The first sees the packets of the server on their way to the client, and the second those of the client, in pw_rpc's
    /// order.
    pub fn with_processors(
        router: Router,
        to_client: impl PacketProcessor,
        to_server: impl PacketProcessor,
    ) -> Self {
        let (sent_by_client, sent_by_server) = (FakeOutput::new(), FakeOutput::new());
        let (client_inbox, server_inbox) = (Inbox::default(), Inbox::default());
        let sink = hand_over(&sent_by_client, to_server, &server_inbox);
        let (client_line, inbox) = MemoryLine::new(sink);
        // Nothing is set twice.
        let _ = client_inbox.set(inbox);
        let sink = hand_over(&sent_by_server, to_client, &client_inbox);
        let (server_line, inbox) = MemoryLine::new(sink);
        let _ = server_inbox.set(inbox);

        let server = MemoryServer::new(server_line);
        let server = Server::new(server, router, ServerConfig::default());
        let client = Client::new(MemoryClient::new(client_line));
        let (serving, connecting) = (server.clone(), client.clone());
        let running = [
            tokio::spawn(async move { serving.serve().await }),
            tokio::spawn(async move { connecting.connect().await }),
        ];
        Self {
            client,
            server,
            sent_by_client,
            sent_by_server,
            running,
        }
    }

    /// The client.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The server.
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// What the client has sent, before its processor.
    pub const fn sent_by_client(&self) -> &FakeOutput {
        &self.sent_by_client
    }

    /// What the server has sent, before its processor.
    pub const fn sent_by_server(&self) -> &FakeOutput {
        &self.sent_by_server
    }
}

type Inbox = Arc<OnceLock<mpsc::UnboundedSender<bytes::Bytes>>>;

fn hand_over(output: &FakeOutput, mut processor: impl PacketProcessor, to: &Inbox) -> Sink {
    let (output, to) = (output.clone(), Arc::clone(to));
    Box::new(move |packet| {
        output.push(packet.clone());
        for packet in processor.process(packet) {
            if let Some(inbox) = to.get() {
                // Who has gone hears nothing.
                let _ = inbox.send(packet.to_bytes());
            }
        }
    })
}

impl Drop for ClientServerContext {
    fn drop(&mut self) {
        for task in &self.running {
            task.abort();
        }
    }
}
