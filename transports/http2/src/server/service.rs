//! The requests of one connection: calls for the router, and those that a mounted service takes.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use h2::{Reason, RecvStream, server::SendResponse};
use headwater_rpc::{
    AcceptedStream, Acceptor, Outbound, Payload,
    http::{Messages, request},
};
use http::{Request, Response};
use tonic::body::Body;
use tower::util::BoxCloneSyncService;

use super::{
    connection::Connection,
    mount,
    responder::{Responder, send_head},
};
use crate::inbound::StreamSource;

/// A service of another, such as tonic makes.
pub(super) type Mount = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;
/// By gRPC's name of the service.
pub(super) type Mounts = BTreeMap<&'static str, Mount>;

/// An answer in place of a call.
enum Refusal {
    Response(Box<Response<()>>),
    Reset(Reason),
}

/// Takes every path; what is no gRPC call is refused before the application sees it.
pub(super) struct Service {
    pub(super) acceptor: Acceptor,
    pub(super) mounts: Arc<Mounts>,
    pub(super) connection: Arc<Connection>,
}

impl Service {
    /// Takes a request, and gives what answers it, unless that needs nothing more of the connection's task.
    pub(super) fn accept(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Payload>,
    ) -> Option<Responder> {
        let open = self.connection.open_stream(request.uri().path());
        if let Some(mount) = self.mount(request.uri().path()) {
            let mut request = request;
            self.connection.describe(request.extensions_mut());
            tokio::spawn(mount::serve(mount.clone(), request, respond, open));
            return None;
        }
        match self.call(request) {
            Ok(outbound) => Some(Responder::new(respond, outbound, open)),
            Err(Refusal::Response(head)) => {
                send_head(&mut respond, *head, &self.connection, true);
                None
            }
            Err(Refusal::Reset(reason)) => {
                respond.send_reset(reason);
                None
            }
        }
    }

    fn mount(&self, path: &str) -> Option<&Mount> {
        if self.mounts.is_empty() {
            return None;
        }
        self.mounts.get(path.split('/').nth(1)?)
    }

    fn call(&self, request: Request<RecvStream>) -> Result<Outbound, Refusal> {
        let (head, body) = request.into_parts();
        let headers = request::to_call(&head).map_err(Refusal::Response)?;
        let permit = self.connection.handlers.try_start(&headers.path);
        // No handler has seen it, so the client may open it again (RFC 9113, 8.7).
        let permit = permit.ok_or(Refusal::Reset(Reason::REFUSED_STREAM))?;
        let bytes_max = self.acceptor.receive_message_bytes_max();
        let inbound = Box::new(Messages::requests(StreamSource(body), bytes_max));
        let peer = self.connection.peer().clone();
        let stream = AcceptedStream::new(headers, peer, inbound).permitted(permit);
        Ok(self.acceptor.accept(stream))
    }
}
