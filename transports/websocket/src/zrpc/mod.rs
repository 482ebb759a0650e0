//! zrpc on a socket.

use crate::server::Accepted;

/// The names by which a client asks for it, the preferred one first.
pub(crate) const SUBPROTOCOLS: &[&str] = &["zrpc"];

/// How zrpc's sessions behave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ZrpcConfig {}

/// Serves one socket until it is over. `name` is the subprotocol that was agreed on, if the client named one.
pub(crate) async fn serve(accepted: Accepted, name: Option<&'static str>) {
    let _ = name;
    let Accepted { socket, .. } = accepted;
    let mut close = Vec::new();
    headwater_proto::websocket::encode_close(1011, "zrpc is not served yet", &mut close);
    // Whoever has gone already needs no answer.
    let _ = socket.writer.write_all(&close).await;
    socket.writer.finish();
}
