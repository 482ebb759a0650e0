//! A transport over one connection at a time.

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use headwater_rpc::{
    ClientTransport, Closed, Code, Frame, Inbound, Outbound, RequestHeaders, Status,
    channel::{Address, Connection, Connector, Unopened},
};
use http::Uri;
use tokio::sync::watch;

use super::{ClientTls, Http2ClientConfig, Http2Connector};

/// Calls over HTTP/2 to one server. The connection comes up with the first call, and again after it was lost; a call
/// that finds the server away fails at once with `UNAVAILABLE`.
pub struct Http2Client {
    connector: Http2Connector,
    host: String,
    port: u16,
    phase: watch::Sender<Phase>,
    /// Held while connecting, so that calls of the same moment share a connection.
    connecting: tokio::sync::Mutex<()>,
    current: std::sync::Mutex<Option<Arc<dyn Connection>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    NotStarted,
    Running,
    Stopped,
}

impl Http2Client {
    /// A client of the server at this URL, such as `http://127.0.0.1:8081`. An `https` URL takes TLS as configured, or
    /// with the system's certificate authorities.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is not such a URL, or what TLS is to use cannot be used.
    pub fn new(url: &str, config: &Http2ClientConfig) -> Result<Self, Status> {
        let invalid = |error: &dyn std::fmt::Display| {
            Status::new(Code::InvalidArgument, format!("not an http url: {error}"))
        };
        let uri: Uri = url.parse().map_err(|error| invalid(&error))?;
        let mut config = config.clone();
        let port = match uri.scheme_str() {
            Some("http") => {
                config.tls = None;
                80
            }
            Some("https") => {
                config.tls.get_or_insert_with(ClientTls::default);
                443
            }
            Some(_) | None => return Err(invalid(&"the scheme must be http or https")),
        };
        let authority = uri.authority().ok_or_else(|| invalid(&"no host"))?;
        Ok(Self {
            connector: Http2Connector::new(authority.as_str(), &config)?,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(port),
            phase: watch::Sender::new(Phase::NotStarted),
            connecting: tokio::sync::Mutex::new(()),
            current: std::sync::Mutex::new(None),
        })
    }

    async fn running(&self) -> Result<(), Status> {
        if *self.phase.borrow() == Phase::Running {
            return Ok(());
        }
        let mut phase = self.phase.subscribe();
        let phase = phase.wait_for(|phase| *phase != Phase::NotStarted).await;
        if phase.is_ok_and(|phase| *phase == Phase::Running) {
            return Ok(());
        }
        Err(Status::new(
            Code::FailedPrecondition,
            "the client is stopping or stopped",
        ))
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<Arc<dyn Connection>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> Result<Arc<dyn Connection>, Status> {
        if let Some(current) = &*self.current() {
            return Ok(Arc::clone(current));
        }
        let _connecting = self.connecting.lock().await;
        if let Some(current) = &*self.current() {
            return Ok(Arc::clone(current));
        }
        let connection: Arc<dyn Connection> = self.connect_any().await?.into();
        *self.current() = Some(Arc::clone(&connection));
        // Stopped in the meantime: then nobody took this one away.
        if *self.phase.borrow() == Phase::Stopped {
            self.current().take();
        }
        Ok(connection)
    }

    async fn connect_any(&self) -> Result<Box<dyn Connection>, Status> {
        let target = (self.host.as_str(), self.port);
        let found = tokio::net::lookup_host(target).await;
        let unknown = |error: &dyn std::fmt::Display| {
            let message = format!("no address of {}: {error}", self.host);
            Status::new(Code::Unavailable, message)
        };
        let mut failed = unknown(&"none was found");
        for address in found.map_err(|error| unknown(&error))? {
            match self.connector.connect(&Address::Socket(address)).await {
                Ok(connection) => return Ok(connection),
                Err(status) => failed = status,
            }
        }
        Err(failed)
    }

    /// Whoever comes next connects anew.
    fn forget(&self, used: &Arc<dyn Connection>) {
        let mut current = self.current();
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, used))
        {
            *current = None;
        }
    }
}

#[async_trait]
impl ClientTransport for Http2Client {
    async fn connect(&self) -> Result<(), Status> {
        self.phase.send_if_modified(|phase| {
            let first = *phase == Phase::NotStarted;
            if first {
                *phase = Phase::Running;
            }
            first
        });
        let mut phase = self.phase.subscribe();
        // The sender is part of `self`, so it cannot be gone.
        let _ = phase.wait_for(|phase| *phase == Phase::Stopped).await;
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        self.phase.send_replace(Phase::Stopped);
        self.current().take();
    }

    async fn open(
        &self,
        mut headers: RequestHeaders,
        mut outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        self.running().await?;
        let mut fresh = false;
        loop {
            let connection = self.connection().await?;
            match connection.open(headers, outbound).await {
                Ok(inbound) => return Ok(Box::new(Held(inbound, connection))),
                Err(unopened) if fresh => return Err(unopened.status),
                Err(Unopened {
                    headers: unsent,
                    outbound: unpulled,
                    ..
                }) => (headers, outbound) = (unsent, unpulled),
            }
            self.forget(&connection);
            fresh = true;
        }
    }
}

/// A stream, and the connection that must not be dropped before it.
struct Held(Box<dyn Inbound>, #[expect(dead_code)] Arc<dyn Connection>);

impl Inbound for Held {
    fn poll_frames(
        &mut self,
        cx: &mut std::task::Context<'_>,
        frames: &mut Vec<Frame>,
    ) -> std::task::Poll<Result<(), Closed>> {
        self.0.poll_frames(cx, frames)
    }
}
