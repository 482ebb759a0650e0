//! pw_rpc's packets on an accepted socket.

use std::sync::Arc;

use super::{Accepted, line::AcceptedLine};
use crate::session::{ServerSide, ServiceList, Session, SessionConfig, Side};

/// Serves one socket until it is over. `is_extended`: the client is known to understand Headwater's extension.
pub(super) async fn serve(accepted: Accepted, services: Arc<ServiceList>, is_extended: bool) {
    let Accepted {
        socket,
        acceptor,
        peer,
        config,
        mut stopping,
        ..
    } = accepted;
    let bounds = SessionConfig {
        ping_interval: config.ping_interval,
        ping_timeout: config.ping_timeout,
        idle_timeout: config.idle_timeout,
        call_window_bytes: config.call_window_bytes,
        calls_max: config.calls_max,
        method_calls_max: config.method_calls_max,
        is_extended,
    };
    let side = Side::Server(ServerSide::new(acceptor, peer, services));
    let session = Session::new(AcceptedLine::new(socket), side, Arc::default(), bounds);
    let stopping = async {
        // The sender is part of the server, which may be gone; that is as good.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    session.run(stopping).await;
}
