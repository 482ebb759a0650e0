//! One connection, as the channel above holds it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use headwater_rpc::{
    Code, Inbound, Outbound, RequestHeaders, Status,
    channel::{Connection, Unopened},
    http::{Unsendable, request::Origin},
};
use tokio::task::AbortHandle;

use super::{
    cell::SendCell,
    driver::{H3, Job, lock},
    pipe,
    response::ResponseInbound,
    shared::{Refused, Shared},
};
use crate::{codes, quic, sections::Unsent};

/// A connection, whose driver runs in a task of its own. Dropped, it breaks off what is open.
pub(super) struct Http3Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) h3: Arc<Mutex<H3>>,
    pub(super) origin: Origin,
    pub(super) section_bytes_max: u64,
    pub(super) driver: AbortHandle,
}

#[async_trait]
impl Connection for Http3Connection {
    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Unopened> {
        let shared = &self.shared;
        let frame = match shared.known_request(&headers) {
            Some(frame) => Ok(frame),
            None => match self.origin.request(&headers) {
                Ok(request) => shared.encode_request(&headers, request),
                Err(status) => return Ok(Box::new(Unsendable::new(status))),
            },
        };
        let frame = match frame {
            Ok(frame) => Some(frame),
            Err(Unsent::TooLarge) => {
                let message = "the server takes no metadata so large";
                let status = Status::new(Code::ResourceExhausted, message);
                return Ok(Box::new(Unsendable::new(status)));
            }
            Err(Unsent::Impossible) if shared.is_closed() => None,
            Err(Unsent::Impossible) => {
                let status = Status::new(Code::Internal, "the request cannot be sent");
                return Ok(Box::new(Unsendable::new(status)));
            }
        };
        let opened = match (frame, shared.open().await) {
            (Some(frame), Ok(streams)) => Some((frame, streams)),
            (_, Err(Refused::Crowded)) => {
                let message = "too many calls wait for a stream that the server allows";
                let status = Status::new(Code::Unavailable, message);
                // The connection is as good as before, so the channel need not replace it.
                return Ok(Box::new(Unsendable::new(status)));
            }
            (None, Ok(_)) | (_, Err(Refused::Closed)) => None,
        };
        let Some((frame, (send, recv))) = opened else {
            return Err(Unopened {
                status: shared.closed().await,
                headers,
                outbound,
            });
        };
        let bytes_max = outbound.receive_message_bytes_max();
        let cell = Arc::new(SendCell::default());
        if let Some(pipe) = pipe::begin(send, frame, outbound, Arc::clone(&cell)) {
            shared.add_job(Job::Pipe(pipe));
        }
        Ok(Box::new(ResponseInbound::new(
            recv,
            bytes_max,
            self.section_bytes_max,
            Arc::clone(shared),
            cell,
        )))
    }

    async fn closed(&self) -> Status {
        self.shared.closed().await
    }

    fn begin_graceful_shutdown(&self) {
        let status = Status::new(Code::Unavailable, "this side closes the connection");
        self.shared.close(status);
        // A server that makes no room on the control stream is not told, and finds out at the end.
        let _ = lock(&self.h3).shutdown(0).now_or_never();
    }
}

impl Drop for Http3Connection {
    fn drop(&mut self) {
        self.shared
            .close(Status::new(Code::Unavailable, "the connection was dropped"));
        quic::close(&self.shared.quic, codes::NO_ERROR, "");
        self.driver.abort();
    }
}
