//! A client whose server is the test.

use std::time::Duration;

use bytes::Bytes;
use headwater_proto::{
    Status,
    pw_rpc::{PacketType, RpcPacket},
};
use headwater_rpc::Client;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::{
    FakeOutput,
    output::method,
    server::packet,
    wire::{MemoryClient, MemoryLine},
};

/// How long pw_rpc's `SendResponseIfCalled` waits for a call unless it is told otherwise.
pub const CALLED_TIMEOUT: Duration = Duration::from_millis(100);

/// The method was not called, or not in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the method was not called")]
pub struct NotCalled;

/// A client whose one server is the test: it looks at what the client sends, and says packets. An answer is of the last
/// call that the client has started of the method. Dropped, the client stops, and its calls are cancelled.
///
/// # Panics
///
/// Methods that take a path panic if it is not `/service/method`; making one outside of a tokio runtime panics.
#[derive(Debug)]
pub struct ClientContext {
    client: Client,
    output: FakeOutput,
    inbox: mpsc::UnboundedSender<Bytes>,
    connecting: JoinHandle<Result<(), Status>>,
}

impl ClientContext {
    /// A client that is connected.
    #[expect(clippy::new_without_default, reason = "it starts a task")]
    pub fn new() -> Self {
        let output = FakeOutput::new();
        let kept = output.clone();
        let (line, inbox) = MemoryLine::new(Box::new(move |packet| kept.push(packet)));
        let client = Client::new(MemoryClient::new(line));
        let running = client.clone();
        let connecting = tokio::spawn(async move { running.connect().await });
        Self {
            client,
            output,
            inbox,
            connecting,
        }
    }

    /// The client, for what is tested.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// What the client has sent.
    pub const fn output(&self) -> &FakeOutput {
        &self.output
    }

    /// Has a packet come, whatever it says.
    pub fn send(&self, packet: &RpcPacket) {
        // A client that has stopped hears nothing.
        let _ = self.inbox.send(packet.to_bytes());
    }

    /// Sends a message of a server stream.
    ///
    /// # Errors
    ///
    /// The method was not called yet.
    pub fn send_stream(&self, path: &str, message: impl Into<Bytes>) -> Result<(), NotCalled> {
        let mut packet = self.answer(PacketType::ServerStream, path)?;
        packet.payload = message.into();
        self.send(&packet);
        Ok(())
    }

    /// Ends a call with a response: the message is empty if the method streams responses, or the call has failed.
    ///
    /// # Errors
    ///
    /// The method was not called yet.
    pub fn send_response(
        &self,
        path: &str,
        message: impl Into<Bytes>,
        outcome: Result<(), Status>,
    ) -> Result<(), NotCalled> {
        let mut packet = self.answer(PacketType::Response, path)?;
        packet.payload = message.into();
        packet.set_outcome(&outcome);
        self.send(&packet);
        Ok(())
    }

    /// Ends a call with an error that is not of its handler.
    ///
    /// # Errors
    ///
    /// The method was not called yet.
    pub fn send_server_error(&self, path: &str, status: Status) -> Result<(), NotCalled> {
        let mut packet = self.answer(PacketType::ServerError, path)?;
        packet.set_outcome(&Err(status));
        self.send(&packet);
        Ok(())
    }

    /// As [`ClientContext::send_response`], once the method is called, for which it waits so long at most. A call that is
    /// there already counts. ([`CALLED_TIMEOUT`] is pw_rpc's.)
    ///
    /// # Errors
    ///
    /// The method was not called in this time. Nothing was sent.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has sent nothing.
    pub async fn send_response_if_called(
        &self,
        path: &str,
        message: impl Into<Bytes>,
        outcome: Result<(), Status>,
        within: Duration,
    ) -> Result<(), NotCalled> {
        let method = method(path);
        let is_called =
            |all: &[RpcPacket]| all.iter().any(|it| is_request(it) && it.method() == method);
        let called = timeout(within, self.output.until(is_called)).await;
        called.map_err(|_| NotCalled)?;
        self.send_response(path, message, outcome)
    }

    fn answer(&self, kind: PacketType, path: &str) -> Result<RpcPacket, NotCalled> {
        let sent = self.output.packets_of(path);
        let request = sent.iter().rev().find(|packet| is_request(packet));
        let request = request.ok_or(NotCalled)?;
        Ok(packet(kind, path, request.call_id))
    }
}

fn is_request(packet: &RpcPacket) -> bool {
    packet.r#type() == PacketType::Request
}

impl Drop for ClientContext {
    fn drop(&mut self) {
        self.connecting.abort();
    }
}
