//! What passes through one half of a call, changed on its way.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use headwater_core::call::Trailers;
use headwater_proto::{Code, Metadata, Status};

/// Sees and changes what passes through one half of a call, once it is attached: [`crate::Sender::through`],
/// [`crate::Receiver::through`].
///
/// It runs in whichever task sends, receives, or ends the call, outside the call's lock, without a box and without a
/// task of its own. It must not block, and should not panic: the task may serve other calls as well. A panic at a message
/// or at headers is one of the task that sends or receives; one at the end is caught, and is a failure with `INTERNAL`.
///
/// One object may be attached to both halves, and is then asked about both.
pub trait Transform: Send + Sync + 'static {
    /// The server's initial metadata, where they are sent or received. Asked once, before the first message; also for
    /// those, empty, that go out by themselves with the first message. Not asked if the call ends without any.
    fn headers(&self, metadata: Metadata) -> Metadata {
        metadata
    }

    /// A message. Asked once for each, in order, before it is sent or after it was received; except that one may be asked
    /// about again that [`crate::Sender::try_send`] refused as blocked, and that a send that is given up is not sent.
    ///
    /// # Errors
    ///
    /// The call ends with this status: on this side, and on the peer's as far as it can be told. A client can only cancel.
    fn message(&self, message: Bytes) -> Result<Bytes, Status> {
        Ok(message)
    }

    /// The end of this half. Asked exactly once, however the call ends, even if nobody sends or reads any more:
    ///
    /// - sending on the server, how the call ends; what is given back is what the client is told, if the handler said it,
    ///   and else goes nowhere, for the call has ended then;
    /// - receiving on the client, how the call ended, when that is read or the receiver is dropped; what is given back is
    ///   what the reader sees;
    /// - sending on the client and receiving on the server, the half-close, as OK without metadata; a failure given back
    ///   ends the call. Without a half-close, how the call ended.
    fn end(&self, trailers: Trailers) -> Trailers {
        trailers
    }
}

/// A transform where it is attached.
pub(crate) struct Stage {
    transform: Arc<dyn Transform>,
    ended: AtomicBool,
}

impl Stage {
    /// Asked once only: whoever comes second passes.
    pub(crate) fn end(&self, trailers: Trailers) -> Trailers {
        if self.ended.swap(true, Ordering::AcqRel) {
            return trailers;
        }
        // It may be a transport's task, which has other calls.
        catch_unwind(AssertUnwindSafe(|| self.transform.end(trailers))).unwrap_or_else(|_| {
            let status = Status::new(Code::Internal, "an interceptor panicked");
            Trailers::failed(status)
        })
    }
}

/// The transforms of one half, in the order in which they are asked.
#[derive(Clone, Default)]
pub(crate) struct Stages(Vec<Arc<Stage>>);

impl Stages {
    /// What is sent passes the transform that was attached last before all others.
    pub(crate) fn push_outer(&mut self, transform: Arc<dyn Transform>) -> Arc<Stage> {
        let stage = stage(transform);
        self.0.insert(0, Arc::clone(&stage));
        stage
    }

    /// What is received passes the transform that was attached last after all others.
    pub(crate) fn push_inner(&mut self, transform: Arc<dyn Transform>) {
        self.0.push(stage(transform));
    }

    pub(crate) fn headers(&self, metadata: Metadata) -> Metadata {
        let stages = self.0.iter();
        stages.fold(metadata, |metadata, stage| {
            stage.transform.headers(metadata)
        })
    }

    pub(crate) fn message(&self, message: Bytes) -> Result<Bytes, Status> {
        let mut stages = self.0.iter();
        stages.try_fold(message, |message, stage| stage.transform.message(message))
    }

    pub(crate) fn end(&self, trailers: Trailers) -> Trailers {
        let stages = self.0.iter();
        stages.fold(trailers, |trailers, stage| stage.end(trailers))
    }

    /// The end of a half whose message failed; it stays a failure.
    pub(crate) fn fail(&self, status: Status) -> Trailers {
        let mut trailers = self.end(Trailers::failed(status.clone()));
        if trailers.outcome.is_ok() {
            trailers.outcome = Err(status);
        }
        trailers
    }

    pub(crate) fn into_stages(self) -> Vec<Arc<Stage>> {
        self.0
    }
}

fn stage(transform: Arc<dyn Transform>) -> Arc<Stage> {
    Arc::new(Stage {
        transform,
        ended: AtomicBool::new(false),
    })
}
