//! One connection, as the channel above holds it.

use std::sync::Arc;

use async_trait::async_trait;
use headwater_rpc::{
    Inbound, Outbound, RequestHeaders, Status,
    channel::{Connection, Unopened},
};
use tokio::task::AbortHandle;

use super::{WebSocketClientConfig, line::DialledLine, shared::Shared};
use crate::session::Session;

/// A connection, whose session runs in a task of its own. Dropped, it breaks off what is open; if nothing is, the server
/// is told goodbye.
pub(crate) struct WebSocketConnection {
    shared: Arc<Shared>,
    session: AbortHandle,
}

impl WebSocketConnection {
    /// Has a socket carry calls.
    pub(super) fn start(line: DialledLine, config: &WebSocketClientConfig) -> Self {
        let shared = Arc::new(Shared::default());
        let session = Session::client(line, Arc::clone(&shared), config);
        let session = tokio::spawn(session.run()).abort_handle();
        Self { shared, session }
    }
}

#[async_trait]
impl Connection for WebSocketConnection {
    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Unopened> {
        match self.shared.open(headers, outbound) {
            Ok(inbound) => Ok(Box::new(inbound)),
            Err((headers, outbound)) => Err(Unopened {
                status: self.shared.closed().await,
                headers,
                outbound,
            }),
        }
    }

    async fn closed(&self) -> Status {
        self.shared.closed().await
    }

    fn begin_graceful_shutdown(&self) {
        self.shared.stop();
    }
}

impl Drop for WebSocketConnection {
    fn drop(&mut self) {
        self.shared.stop();
        if self.shared.open_calls() > 0 {
            self.session.abort();
        }
    }
}
