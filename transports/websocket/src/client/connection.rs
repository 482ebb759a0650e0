//! One connection, as the channel above holds it.

use std::{future::pending, sync::Arc};

use async_trait::async_trait;
use headwater_rpc::{
    Inbound, Outbound, RequestHeaders, Status,
    channel::{Connection, Unopened},
};
use tokio::task::AbortHandle;

use super::{WebSocketClientConfig, line::DialledLine, serving::Serving, shared::Shared};
use crate::session::{ClientSide, ServerSide, Session, SessionConfig, Side, window};

/// A connection, whose session runs in a task of its own. Dropped, it breaks off what is open; if nothing is, the server
/// is told goodbye.
pub(crate) struct WebSocketConnection {
    shared: Arc<Shared>,
    session: AbortHandle,
}

impl WebSocketConnection {
    /// Has a socket carry calls, and serve those of its peer, if there is a server.
    pub(super) fn start(
        line: DialledLine,
        config: &WebSocketClientConfig,
        server: Option<(ServerSide, Arc<Serving>)>,
    ) -> Self {
        let shared = Shared::new(window(config.call_window_bytes));
        let client = ClientSide {
            shared: Arc::clone(&shared),
            awaits_unrequested: config.awaits_unrequested,
        };
        let (server, serving) = server.unzip();
        let side = Side::dialled(client, server);
        let config = SessionConfig {
            ping_interval: config.ping_interval,
            ping_timeout: config.ping_timeout,
            idle_timeout: None,
            call_window_bytes: config.call_window_bytes,
            calls_max: config.calls_max,
            method_calls_max: config.method_calls_max,
            is_extended: config.subprotocol == super::Subprotocol::Headwater,
        };
        let session = Session::new(line, side, Arc::clone(shared.desk()), config);
        let stopping = async move {
            match serving {
                Some(serving) => serving.stopping().await,
                None => pending().await,
            }
        };
        let session = tokio::spawn(session.run(stopping)).abort_handle();
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
        let (headers, outbound) = match self.shared.open(headers, outbound) {
            Ok(inbound) => return Ok(Box::new(inbound)),
            Err(unopened) => *unopened,
        };
        Err(Unopened {
            status: self.shared.closed().await,
            headers,
            outbound,
        })
    }

    async fn closed(&self) -> Status {
        self.shared.closed().await
    }

    fn begin_graceful_shutdown(&self) {
        self.shared.close("this side closes the connection");
    }
}

impl Drop for WebSocketConnection {
    fn drop(&mut self) {
        self.begin_graceful_shutdown();
        if self.shared.open_calls() > 0 {
            self.session.abort();
        }
    }
}
