//! Making a connection.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use headwater_rpc::{
    Code, Status,
    channel::{Address, Connection, Connector},
    http::request::Origin,
    tls::{TlsClient, rustls},
};
use http::uri::{Authority, Scheme};
use quinn::{ClientConfig, ConnectionError, Endpoint, crypto::rustls::QuicClientConfig};
use tokio::time::timeout;

use super::{
    Http3ClientConfig,
    connection::Http3Connection,
    driver::{Control, Driver},
    shared::Shared,
};
use crate::{
    ALPN, codes,
    qpack::QpackWatch,
    quic::{self, CriticalStreams, Quic, Transports},
    sections::ClientSections,
    socket,
};

/// TLS's alert "no_application_protocol" (RFC 7301, 3.2), as QUIC says it (RFC 9001, 4.8).
const NO_ALPN: u64 = 0x100 + 120;

/// Makes connections to the servers of one target: QUIC, over one socket for each family of addresses. Clones share it.
#[derive(Debug, Clone)]
pub struct Http3Connector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Http3ClientConfig,
    origin: Origin,
    tls: TlsClient,
    transports: Transports,
    made: Mutex<Option<Made>>,
    endpoints: Mutex<Endpoints>,
}

/// The configuration of QUIC, by that of TLS.
#[derive(Debug)]
struct Made {
    from: Arc<rustls::ClientConfig>,
    quic: ClientConfig,
}

#[derive(Debug, Default)]
struct Endpoints {
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
}

impl Endpoints {
    const fn slot(&mut self, addr: SocketAddr) -> &mut Option<Endpoint> {
        match addr {
            SocketAddr::V4(_) => &mut self.v4,
            SocketAddr::V6(_) => &mut self.v6,
        }
    }
}

impl Http3Connector {
    /// Makes connections to the servers of `authority`, a host with or without a port, which is what requests and TLS
    /// name, whatever the address.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if that is no authority, or what TLS is to use cannot be used.
    pub fn new(authority: &str, config: &Http3ClientConfig) -> Result<Self, Status> {
        let invalid = |error| {
            let message = format!("{authority:?} is not an authority: {error}");
            Status::new(Code::InvalidArgument, message)
        };
        // RFC 9110, 4.2.4: no user information. What stands before the `@` may be a password, so nothing is quoted.
        if authority.contains('@') {
            let message = "an authority has no user and no password";
            return Err(Status::new(Code::InvalidArgument, message));
        }
        let parsed: Authority = authority.parse().map_err(invalid)?;
        let tls = TlsClient::new(&config.tls, parsed.host(), &[ALPN])?;
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            origin: Origin {
                scheme: Scheme::HTTPS,
                authority: parsed,
            },
            tls,
            transports: Transports::new(|| config.transport()),
            made: Mutex::new(None),
            endpoints: Mutex::default(),
        })))
    }

    /// Goes on over this socket: open connections, whose servers see a client with another address and go on with it (RFC
    /// 9000, 9), and new ones. For a device that has changed its network. Nothing happens if there is no connection of
    /// the socket's family of addresses.
    ///
    /// # Errors
    ///
    /// The socket cannot be used.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn rebind(&self, socket: UdpSocket) -> io::Result<()> {
        let mut endpoints = lock(&self.0.endpoints);
        match endpoints.slot(socket.local_addr()?) {
            Some(endpoint) => endpoint.rebind(socket),
            None => Ok(()),
        }
    }

    fn endpoint(&self, to: SocketAddr) -> io::Result<Endpoint> {
        let mut endpoints = lock(&self.0.endpoints);
        let slot = endpoints.slot(to);
        if let Some(endpoint) = slot {
            return Ok(endpoint.clone());
        }
        let any = match to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = socket::bind_one(any, self.0.config.socket_buffer_bytes)?;
        let runtime = socket::runtime();
        let endpoint = Endpoint::new(quic::endpoint_config(), None, socket, runtime)?;
        *slot = Some(endpoint.clone());
        Ok(endpoint)
    }

    async fn quic_config(&self) -> Result<ClientConfig, Status> {
        let now = self.0.tls.current().await;
        let mut made = lock(&self.0.made);
        if let Some(made) = made.as_ref().filter(|made| Arc::ptr_eq(&made.from, &now)) {
            return Ok(made.quic.clone());
        }
        let crypto = QuicClientConfig::try_from(Arc::clone(&now));
        let crypto = crypto.map_err(|error| no_connection(&error))?;
        let quic = ClientConfig::new(Arc::new(crypto));
        *made = Some(Made {
            from: now,
            quic: quic.clone(),
        });
        Ok(quic)
    }

    async fn connect_unbounded(&self, address: &Address) -> Result<Http3Connection, Status> {
        let Address::Socket(to) = *address else {
            return Err(no_connection(&"QUIC goes over UDP only"));
        };
        let endpoint = self.endpoint(to).map_err(|error| no_connection(&error))?;
        let mut config = self.quic_config().await?;
        config.transport_config(self.0.transports.toward(to));
        let name = self.0.tls.server_name().to_str();
        let connecting = endpoint.connect_with(config, to, &name);
        let connecting = connecting.map_err(|error| no_connection(&error))?;
        let quic = connecting.await;
        let quic = quic.map_err(|error| no_connection(&self.explain(&error)))?;
        let mut closing = CloseOnDrop(Some(quic.clone()));
        let connection = self.begin(quic).await?;
        closing.0 = None;
        Ok(connection)
    }

    /// What HTTP/3 has to say first.
    async fn begin(&self, quic: quinn::Connection) -> Result<Http3Connection, Status> {
        let bytes_max = self.0.config.section_bytes_max();
        let critical = CriticalStreams::default();
        let streams = Quic::new(quic.clone(), Arc::clone(&critical));
        let last = streams.last();
        let mut builder = h3::client::builder();
        builder.max_field_section_size(bytes_max).send_grease(false);
        let built = builder.build(streams).await;
        let (h3, requests) = built.map_err(|error| no_connection(&error))?;
        let settings = Arc::clone(&h3.inner.shared);
        let sections = ClientSections::new(requests, last, settings, bytes_max);
        let h3 = Arc::new(Mutex::new(h3));
        let qpack = QpackWatch::new(quic.clone(), critical);
        let mut control = Control::new(Arc::clone(&h3), qpack, quic.clone());
        control
            .settings()
            .await
            .map_err(|why| no_connection(&self.explain(&why)))?;
        let shared = Shared::new(quic, sections);
        let driver = Driver::new(Arc::clone(&shared), control);
        let driver = tokio::spawn(driver).abort_handle();
        Ok(Http3Connection {
            shared,
            h3,
            origin: self.0.origin.clone(),
            section_bytes_max: bytes_max,
            driver,
        })
    }

    /// Why there is no connection, in words for who configures the client.
    fn explain(&self, error: &ConnectionError) -> String {
        let code = match error {
            ConnectionError::TransportError(error) => u64::from(error.code),
            ConnectionError::ConnectionClosed(close) => u64::from(close.error_code),
            ConnectionError::VersionMismatch
            | ConnectionError::ApplicationClosed(_)
            | ConnectionError::Reset
            | ConnectionError::TimedOut
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => return error.to_string(),
        };
        if code == NO_ALPN {
            return format!("tls: {}", self.0.tls.no_alpn());
        }
        error.to_string()
    }
}

#[async_trait]
impl Connector for Http3Connector {
    async fn connect(&self, address: &Address) -> Result<Box<dyn Connection>, Status> {
        let limit = self.0.config.connect_timeout;
        match timeout(limit, self.connect_unbounded(address)).await {
            Ok(connected) => Ok(Box::new(connected?)),
            Err(_) => Err(no_connection(&format!("not connected within {limit:?}"))),
        }
    }
}

/// Closes a connection that was not whole when it was given up.
struct CloseOnDrop(Option<quinn::Connection>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(quic) = self.0.take() {
            quic::close(&quic, codes::NO_ERROR, "");
        }
    }
}

/// The channel says to which address.
fn no_connection(why: &dyn std::fmt::Display) -> Status {
    Status::new(Code::Unavailable, why.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Each is replaced as a whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
