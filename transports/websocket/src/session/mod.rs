//! pw_rpc's packets on a socket: many calls, one task.

use crate::server::Accepted;

/// Serves one socket until it is over. `extended`: the client is known to understand Headwater's extension fields.
pub(crate) async fn serve(accepted: Accepted, extended: bool) {
    let _ = extended;
    accepted.socket.writer.shutdown();
}
