//! A connection that is exchanged for a better one, unnoticed by the channel above.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use headwater_proto::Status;
use tokio::task::AbortHandle;

use super::{alt_svc::Changes, fallback::Ways};
use crate::{
    channel::{Address, Connection, Unopened},
    transport::{Inbound, Outbound, RequestHeaders},
};

/// A connection by the second way, until there is one by the first.
pub(super) struct Moving {
    both: Arc<Both>,
    /// Looks for the better one.
    search: AbortHandle,
}

struct Both {
    now: Box<dyn Connection>,
    /// Takes the new calls, once it is there; those that are open end on the other one.
    better: OnceLock<Box<dyn Connection>>,
}

impl Moving {
    pub(super) fn new(
        now: Box<dyn Connection>,
        ways: Arc<Ways>,
        address: Address,
        mut changes: Changes,
    ) -> Self {
        let both = Arc::new(Both {
            now,
            better: OnceLock::new(),
        });
        let moved = Arc::clone(&both);
        let search = tokio::spawn(async move {
            let better = ways.announced_connection(&address, &mut changes).await;
            // Nobody else sets it.
            let _ = moved.better.set(better);
            moved.now.begin_graceful_shutdown();
        });
        Self {
            both,
            search: search.abort_handle(),
        }
    }
}

#[async_trait]
impl Connection for Moving {
    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Unopened> {
        let Both { now, better } = &*self.both;
        if let Some(better) = better.get() {
            return better.open(headers, outbound).await;
        }
        match (now.open(headers, outbound).await, better.get()) {
            // It moved while this call waited.
            (Err(unopened), Some(better)) => better.open(unopened.headers, unopened.outbound).await,
            (opened, _) => opened,
        }
    }

    async fn closed(&self) -> Status {
        let Both { now, better } = &*self.both;
        let status = now.closed().await;
        // The channel gives this up now, unless it has moved.
        self.search.abort();
        match better.get() {
            Some(better) => better.closed().await,
            None => status,
        }
    }

    fn begin_graceful_shutdown(&self) {
        self.search.abort();
        self.both.now.begin_graceful_shutdown();
        if let Some(better) = self.both.better.get() {
            better.begin_graceful_shutdown();
        }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.search.abort();
    }
}
