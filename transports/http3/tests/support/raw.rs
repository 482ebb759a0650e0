//! Peers that do as they like: quinn, and bytes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use headwater_rpc::tls::{ClientTls, DevCertificates, TlsClient, TlsServer};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, ServerConfig,
    TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};

use super::{
    Fixture,
    wire::{SETTINGS, frame},
    within,
};

/// A connection of a raw client, with its control stream.
pub(crate) struct RawClient {
    pub(crate) endpoint: Endpoint,
    pub(crate) quic: Connection,
    pub(crate) control: SendStream,
}

pub(crate) async fn client_config(
    tls: &ClientTls,
    alpn: &[u8],
    transport: TransportConfig,
) -> ClientConfig {
    let tls = TlsClient::new(tls, "localhost", &[alpn]).expect("valid");
    let crypto = QuicClientConfig::try_from(tls.current().await).expect("TLS 1.3");
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    config
}

/// Connects, and says nothing of HTTP/3.
pub(crate) async fn connect_silent(fixture: &Fixture) -> (Endpoint, Connection) {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint = Endpoint::client(local).expect("a free port");
    let config = client_config(&fixture.tls, b"h3", TransportConfig::default()).await;
    let connecting = endpoint.connect_with(config, fixture.addr, "localhost");
    let quic = within("a handshake", connecting.expect("valid")).await;
    (endpoint, quic.expect("it connects"))
}

/// Connects, and begins to speak HTTP/3.
pub(crate) async fn connect(fixture: &Fixture) -> RawClient {
    let (endpoint, quic) = connect_silent(fixture).await;
    let control = begin(&quic).await;
    RawClient {
        endpoint,
        quic,
        control,
    }
}

/// Opens a control stream with empty settings.
pub(crate) async fn begin(quic: &Connection) -> SendStream {
    let control = [vec![0], frame(SETTINGS, &[])].concat();
    uni(quic, &control).await
}

/// Opens a stream of one direction that begins so.
pub(crate) async fn uni(quic: &Connection, bytes: &[u8]) -> SendStream {
    let mut stream = within("a stream", quic.open_uni()).await.expect("it opens");
    stream.write_all(bytes).await.expect("there is room");
    stream
}

impl RawClient {
    /// Opens a stream of a request that begins so.
    pub(crate) async fn send(&self, bytes: &[u8]) -> (SendStream, RecvStream) {
        let (mut send, recv) = within("a stream", self.quic.open_bi())
            .await
            .expect("it opens");
        send.write_all(bytes).await.expect("there is room");
        (send, recv)
    }

    /// How the server ended the connection: the code of HTTP/3.
    pub(crate) async fn closed(&self) -> u64 {
        close_code(&within("the end", self.quic.closed()).await)
    }
}

pub(crate) fn close_code(error: &ConnectionError) -> u64 {
    match error {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => panic!("the peer did not close it: {error}"),
    }
}

/// All that comes on a stream, or the code that it was reset with.
pub(crate) async fn read(stream: &mut RecvStream) -> Result<Vec<u8>, u64> {
    match within("a stream's end", stream.read_to_end(1 << 22)).await {
        Ok(bytes) => Ok(bytes),
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => Err(code.into_inner()),
        Err(other) => panic!("the stream broke: {other}"),
    }
}

/// The code that the peer stops a stream with.
pub(crate) async fn stopped(stream: &SendStream) -> Option<u64> {
    let stopped = within("a stop", stream.stopped()).await;
    stopped
        .expect("the connection lives")
        .map(VarInt::into_inner)
}

/// A raw server, and what its clients have to trust.
pub(crate) struct RawServer {
    pub(crate) endpoint: Endpoint,
    pub(crate) tls: ClientTls,
    pub(crate) addr: SocketAddr,
}

pub(crate) async fn serve() -> RawServer {
    let certificates = DevCertificates::generate().expect("the system has randomness");
    let tls = TlsServer::new(certificates.server(), &[b"h3"]).expect("valid");
    let crypto = QuicServerConfig::try_from(tls.current().await).expect("TLS 1.3");
    let config = ServerConfig::with_crypto(Arc::new(crypto));
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint = Endpoint::server(config, local).expect("a free port");
    RawServer {
        addr: endpoint.local_addr().expect("it is bound"),
        endpoint,
        tls: certificates.client(),
    }
}

impl RawServer {
    /// The next connection, with a control stream of this side's.
    pub(crate) async fn accept(&self) -> (Connection, SendStream) {
        let incoming = within("a connection", self.endpoint.accept()).await;
        let quic = incoming.expect("the socket is there").await;
        let quic = quic.expect("it connects");
        let control = begin(&quic).await;
        (quic, control)
    }
}
