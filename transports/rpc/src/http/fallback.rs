//! One way to a server, and another where that is blocked.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use headwater_proto::{Code, Status};
use tokio::time::{Instant, timeout};

use crate::channel::{Address, Connection, Connector};

/// When a [`Fallback`] goes the other way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackConfig {
    /// How long the first way may take to connect before the other one is tried. Default: 1 s.
    pub patience: Duration,
    /// How long the first way is not tried again after it failed and the other one did not. Default: 5 min.
    pub remembered: Duration,
}

impl Default for FallbackConfig {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(1),
            remembered: Duration::from_secs(300),
        }
    }
}

/// Makes connections by one connector, and where that fails by another, to the same address: HTTP/3 where UDP gets
/// through, and HTTP/2 where it does not.
///
/// It has to be known that the server speaks both on one port; `alt-svc` (RFC 7838), by which a server could say so, is
/// not read.
pub struct Fallback {
    first: Box<dyn Connector>,
    second: Box<dyn Connector>,
    config: FallbackConfig,
    /// Until when the first way is not tried.
    blocked: Mutex<Option<Instant>>,
}

impl Fallback {
    /// Tries `first`, then `second`.
    pub fn new(first: impl Connector, second: impl Connector, config: FallbackConfig) -> Self {
        Self {
            first: Box::new(first),
            second: Box::new(second),
            config,
            blocked: Mutex::new(None),
        }
    }

    fn is_blocked(&self) -> bool {
        let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        blocked.is_some_and(|until| Instant::now() < until)
    }

    fn set_blocked(&self) {
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        *blocked = Instant::now().checked_add(self.config.remembered);
    }
}

#[async_trait]
impl Connector for Fallback {
    async fn connect(&self, address: &Address) -> Result<Box<dyn Connection>, Status> {
        if self.is_blocked() {
            return self.second.connect(address).await;
        }
        let patience = self.config.patience;
        let why = match timeout(patience, self.first.connect(address)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(status)) => status.message,
            Err(_) => format!("not connected within {patience:?}"),
        };
        match self.second.connect(address).await {
            Ok(connection) => {
                tracing::debug!(target: "headwater_rpc", %address, %why, "the other way is taken");
                self.set_blocked();
                Ok(connection)
            }
            // A server that is away by both is not one that is blocked.
            Err(status) => {
                let message = format!("{}; and before: {why}", status.message);
                Err(Status::new(Code::Unavailable, message))
            }
        }
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
