//! pw_rpc's packets on an accepted socket.

use std::sync::Arc;

use super::{
    Accepted,
    connection::{AcceptedConnection, OnConnection},
    line::AcceptedLine,
};
use crate::{
    client::Shared,
    session::{ClientSide, ServerSide, ServiceList, Session, SessionConfig, Side, window},
};

/// Serves one socket until it is over. `is_extended`: the client is known to understand Headwater's extension.
pub(super) async fn serve(
    accepted: Accepted,
    services: Arc<ServiceList>,
    on_connection: Option<OnConnection>,
    is_extended: bool,
) {
    let Accepted {
        socket,
        acceptor,
        peer,
        headers,
        config,
        mut stopping,
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
    let server = ServerSide::new(acceptor, peer.clone(), services);
    let line = AcceptedLine::new(socket);
    let session = match on_connection {
        None => Session::new(line, Side::accepted(server, None), Arc::default(), bounds),
        Some(on_connection) => {
            let shared = Shared::new(window(config.call_window_bytes));
            let desk = Arc::clone(shared.desk());
            let client = ClientSide {
                shared: Arc::clone(&shared),
                awaits_unrequested: false,
            };
            let session = Session::new(line, Side::accepted(server, Some(client)), desk, bounds);
            on_connection(AcceptedConnection::new(shared, peer, headers));
            session
        }
    };
    let stopping = async {
        // The sender is part of the server, which may be gone; that is as good.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    session.run(stopping).await;
}
