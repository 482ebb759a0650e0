//! From an accepted handshake to a WebSocket.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use headwater_proto::websocket::{Decoder, DecoderConfig};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use thiserror::Error;

use crate::{
    Handshake, NotOffered, Reader, Writer,
    reader::ReadHalf,
    tls::TlsHalves,
    wire::{Wire, WireStream},
    writer::WriteHalf,
};

/// A WebSocket of which the handshake is done.
#[derive(Debug)]
pub struct Socket {
    /// What the client sends.
    pub reader: Reader,
    /// What is sent to the client.
    pub writer: Writer,
}

/// There will be no WebSocket: the client went away before the answer could be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the connection did not become a websocket")]
pub struct NotUpgraded;

impl Handshake {
    /// The answer 101 (see [`Handshake::accept`]), and `connection` for what comes after it: run in a task of its own as
    /// soon as the answer has been written, or cannot be any more. It is called exactly once.
    ///
    /// The service returns this answer, with headers of its own if it likes, and no other: to hyper, whatever
    /// answers now ends HTTP on this connection. `request` is the one that was checked. What the client sent together
    /// with its handshake is not lost: the first turn brings it.
    ///
    /// The future that `connection` returns is the only thing that lives as long as the connection, so it should be
    /// small: what was needed for the handshake only should not be captured.
    ///
    /// # Errors
    ///
    /// [`NotOffered`] if the client did not offer this subprotocol; then `connection` is dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn upgrade<B, F, Fut>(
        &self,
        request: &mut Request<Incoming>,
        subprotocol: Option<&str>,
        config: DecoderConfig,
        connection: F,
    ) -> Result<Response<B>, NotOffered>
    where
        B: Default,
        F: FnOnce(Result<Socket, NotUpgraded>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let answer = self.accept(subprotocol)?;
        let upgrade = hyper::upgrade::on(request);
        tokio::spawn(async move {
            let socket = upgraded(upgrade, config).await;
            // A new task: this one is as large as the wait for the upgrade needs, for as long as it lives.
            tokio::spawn(connection(socket));
        });
        Ok(answer)
    }
}

async fn upgraded(upgrade: OnUpgrade, config: DecoderConfig) -> Result<Socket, NotUpgraded> {
    let upgraded = upgrade.await.map_err(|_| NotUpgraded)?;
    Socket::new(upgraded, config).ok_or(NotUpgraded)
}

impl Socket {
    /// `None` if the connection was not accepted by this crate's listener.
    fn new(upgraded: Upgraded, config: DecoderConfig) -> Option<Self> {
        let parts = upgraded.downcast::<TokioIo<Wire>>().ok()?;
        let Wire { stream, place } = parts.io.into_inner();
        let mut decoder = Decoder::new(config);
        decoder.push(&parts.read_buf);
        let (read, write) = match stream {
            WireStream::Tcp(tcp) => {
                let (read, write) = tcp.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            WireStream::Tls(tls) => {
                let tls = TlsHalves::new(tls);
                (ReadHalf::Tls(Arc::clone(&tls)), WriteHalf::Tls(tls))
            }
        };
        Some(Self {
            reader: Reader::new(read, decoder, place),
            writer: Writer::new(write),
        })
    }
}

impl Socket {
    /// The address that the client connected to, if the system says.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.writer.local_addr().ok()
    }

    /// The chain by which the client proved who it is, its own certificate first, in DER; empty unless TLS asked for it.
    pub fn peer_certificates(&self) -> Vec<Bytes> {
        self.writer.peer_certificates()
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its address, or that of the proxy between.
    pub address: SocketAddr,
}
