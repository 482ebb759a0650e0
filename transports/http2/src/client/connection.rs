//! One connection, as the channel above holds it.

use std::sync::Arc;

use async_trait::async_trait;
use headwater_rpc::{
    Code, Inbound, Outbound, RequestHeaders, Status,
    channel::{Connection, Unopened},
    http::{Unsendable, request::Origin},
};
use tokio::{sync::oneshot, task::AbortHandle};

use super::{
    pipe::{self, Rest},
    response::ResponseInbound,
    shared::{Refused, Shared, ended},
};

/// A connection, whose driver runs in a task of its own. Dropped, it breaks off what is open; if nothing is, what `h2`
/// has still to say goes out first.
pub(crate) struct Http2Connection {
    shared: Arc<Shared>,
    origin: Origin,
    driver: AbortHandle,
    /// Tells the driver's task, by being dropped, that nobody holds the connection any more.
    _held: oneshot::Sender<()>,
}

impl Http2Connection {
    pub(crate) const fn new(
        shared: Arc<Shared>,
        origin: Origin,
        driver: AbortHandle,
        held: oneshot::Sender<()>,
    ) -> Self {
        Self {
            shared,
            origin,
            driver,
            _held: held,
        }
    }
}

#[async_trait]
impl Connection for Http2Connection {
    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Unopened> {
        let permit = match self.shared.admit().await {
            Ok(permit) => Some(permit),
            Err(Refused::Closed) => None,
            Err(Refused::Crowded) => {
                let message = "too many calls wait for a stream that the server allows";
                let status = Status::new(Code::Unavailable, message);
                // The connection is as good as before, so the channel need not replace it.
                return Ok(Box::new(Unsendable::new(status)));
            }
        };
        let (Some(permit), Some(mut sender)) = (permit, self.shared.sender()) else {
            return Err(Unopened {
                status: self.shared.closed().await,
                headers,
                outbound,
            });
        };
        // Made only now, for all that lives across a wait takes room in each call.
        let request = match self.origin.request(&headers) {
            Ok(request) => request,
            Err(status) => return Ok(Box::new(Unsendable::new(status))),
        };
        let bytes_max = outbound.receive_message_bytes_max();
        match sender.send_request(request, false) {
            Ok((response, stream)) => {
                let mut held = None;
                match pipe::begin(stream, outbound) {
                    Rest::Pipe(pipe) => self.shared.add_pipe(pipe),
                    Rest::Held(stream) => held = Some(stream),
                    Rest::Nothing => {}
                }
                let inbound = ResponseInbound::new(response, bytes_max, permit, held);
                Ok(Box::new(inbound))
            }
            Err(error) if error.is_io() || error.is_go_away() => Err(Unopened {
                status: ended(&error),
                headers,
                outbound,
            }),
            Err(error) => {
                let message = format!("the request cannot be sent: {error}");
                let status = Status::new(Code::Internal, message);
                Ok(Box::new(Unsendable::new(status)))
            }
        }
    }

    async fn closed(&self) -> Status {
        self.shared.closed().await
    }

    fn begin_graceful_shutdown(&self) {
        let status = Status::new(Code::Unavailable, "this side closes the connection");
        self.shared.close(status);
    }
}

impl Drop for Http2Connection {
    fn drop(&mut self) {
        // The connection's waker leads to what opens its streams, which leads to the connection: this parts them.
        self.begin_graceful_shutdown();
        if self.shared.open() > 0 {
            self.driver.abort();
        }
    }
}
