//! One way to a server, and another where that is blocked.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use headwater_proto::{Code, Status};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Alternatives, alt_svc::Changes, moving::Moving};
use crate::channel::{Address, Connection, Connector};

/// How long the first way may take while calls go by the second one.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(10);

/// When a [`Fallback`] goes the other way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackConfig {
    /// How long the first way may take to connect before the other one is tried. Default: 1 s.
    pub patience: Duration,
    /// How long the first way is not tried again after it failed and the other one did not. It doubles with every further
    /// failure in a row, up to `remembered_max`, and begins anew after a success or with another port. Default: 5 min.
    pub remembered: Duration,
    /// What `remembered` grows to. Default: 24 h.
    pub remembered_max: Duration,
}

impl Default for FallbackConfig {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(1),
            remembered: Duration::from_secs(300),
            remembered_max: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Makes connections by one connector, and where that fails by another: HTTP/3 where UDP gets through, and HTTP/2 where it
/// does not.
///
/// Both are tried at the same port, unless the server has announced another one for the first way
/// ([`Fallback::following`]).
pub struct Fallback(Arc<Ways>);

/// What connections that may move share with the fallback.
pub(super) struct Ways {
    first: Box<dyn Connector>,
    second: Box<dyn Connector>,
    config: FallbackConfig,
    alternatives: Option<Alternatives>,
    broken: Mutex<Option<Broken>>,
}

/// The first way has failed, by the port of this address.
struct Broken {
    port: Option<u16>,
    until: Option<Instant>,
    /// How often before, in a row.
    failures: u32,
}

impl Fallback {
    /// Tries `first`, then `second`.
    pub fn new(first: impl Connector, second: impl Connector, config: FallbackConfig) -> Self {
        Self(Arc::new(Ways {
            first: Box::new(first),
            second: Box::new(second),
            config,
            alternatives: None,
            broken: Mutex::new(None),
        }))
    }

    /// Follows what the answers that come by the second way announce of the first one (RFC 7838), which is to be written
    /// into `alternatives` by the second connector. A connection by the second way then moves once the first one works:
    /// new calls go there, open ones end where they are. What is announced is tried beside the calls, none of which waits
    /// for it, and again when a failure is no longer remembered.
    #[must_use]
    pub fn following(mut self, alternatives: Alternatives) -> Self {
        let ways = Arc::get_mut(&mut self.0);
        let ways = ways.expect("nothing was connected yet, so nobody shares it");
        ways.alternatives = Some(alternatives);
        self
    }
}

impl Ways {
    /// Where the first way leads: to the port that was announced, or else to the same as the second one.
    fn preferred(&self, address: &Address) -> Address {
        self.announced(address).unwrap_or_else(|| address.clone())
    }

    fn announced(&self, address: &Address) -> Option<Address> {
        let port = self.alternatives.as_ref()?.port()?;
        match address {
            Address::Socket(addr) => Some(Address::Socket(SocketAddr::new(addr.ip(), port))),
            Address::Unix(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Broken>> {
        // It is replaced as a whole.
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when the first way to this address is not to be tried; `None` if it may be. The inner `None` is for ever.
    fn broken(&self, address: &Address) -> Option<Option<Instant>> {
        let broken = self.lock();
        let broken = broken.as_ref()?;
        let counts =
            broken.port == port(address) && broken.until.is_none_or(|at| Instant::now() < at);
        counts.then_some(broken.until)
    }

    fn set_broken(&self, address: &Address) {
        let FallbackConfig {
            remembered,
            remembered_max,
            ..
        } = self.config;
        let port = port(address);
        let mut broken = self.lock();
        let before = broken.as_ref().filter(|broken| broken.port == port);
        let failures = before.map_or(0, |broken| broken.failures.saturating_add(1));
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        let remembered = remembered.saturating_mul(factor).min(remembered_max);
        let until = Instant::now().checked_add(remembered);
        *broken = Some(Broken {
            port,
            until,
            failures,
        });
    }

    fn set_working(&self) {
        *self.lock() = None;
    }

    /// Tries the first way within this time.
    async fn try_first(
        &self,
        address: &Address,
        patience: Duration,
    ) -> Result<Box<dyn Connection>, String> {
        match timeout(patience, self.first.connect(address)).await {
            Ok(Ok(connection)) => {
                self.set_working();
                Ok(connection)
            }
            Ok(Err(status)) => Err(status.message),
            Err(_) => Err(format!("not connected within {patience:?}")),
        }
    }

    /// A connection by the first way to the server at this address, however long it takes until one is announced and works.
    pub(super) async fn announced_connection(
        &self,
        address: &Address,
        changes: &mut Changes,
    ) -> Box<dyn Connection> {
        loop {
            let Some(to) = self.announced(address) else {
                changes.changed().await;
                continue;
            };
            if let Some(until) = self.broken(&to) {
                tokio::select! {
                    () = at(until) => {}
                    () = changes.changed() => {}
                }
                continue;
            }
            match self.try_first(&to, BACKGROUND_PATIENCE).await {
                Ok(connection) => {
                    tracing::debug!(target: "headwater_rpc", address = %to, "moves to what was announced");
                    return connection;
                }
                Err(why) => {
                    tracing::debug!(target: "headwater_rpc", address = %to, %why, "what was announced does not work");
                    self.set_broken(&to);
                }
            }
        }
    }
}

fn port(address: &Address) -> Option<u16> {
    match address {
        Address::Socket(addr) => Some(addr.port()),
        Address::Unix(_) => None,
    }
}

/// At this moment, or never.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[async_trait]
impl Connector for Fallback {
    async fn connect(&self, address: &Address) -> Result<Box<dyn Connection>, Status> {
        let ways = &self.0;
        let preferred = ways.preferred(address);
        let mut failed = None;
        if ways.broken(&preferred).is_none() {
            match ways.try_first(&preferred, ways.config.patience).await {
                Ok(connection) => return Ok(connection),
                Err(why) => failed = Some(why),
            }
        }
        let second = ways.second.connect(address).await;
        let connection = match (second, failed) {
            (Ok(connection), None) => connection,
            (Ok(connection), Some(why)) => {
                tracing::debug!(target: "headwater_rpc", %address, %why, "the other way is taken");
                ways.set_broken(&preferred);
                connection
            }
            (Err(status), None) => return Err(status),
            // A server that is away by both is not one that is blocked.
            (Err(status), Some(why)) => {
                let message = format!("{}; and before: {why}", status.message);
                return Err(Status::new(Code::Unavailable, message));
            }
        };
        let Some(alternatives) = &ways.alternatives else {
            return Ok(connection);
        };
        let changes = alternatives.watch();
        Ok(Box::new(Moving::new(
            connection,
            Arc::clone(ways),
            address.clone(),
            changes,
        )))
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
