//! Interceptors that note what they see.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_rpc::{
    CallError, Code, IncomingCall, Metadata, Receiver, Sender, Status, Trailers,
    interceptor::{
        ClientInterceptor, ClientNext, OutgoingCall, ServerInterceptor, ServerNext, Transform,
    },
};

/// Lines in the order in which they were noted.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, line: impl Into<String>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.clone()
    }
}

/// Notes every call and all that passes, and changes nothing. The halves are named `request` and `response`.
#[derive(Clone)]
pub(crate) struct Noting {
    pub(crate) name: &'static str,
    pub(crate) log: Log,
}

impl Noting {
    pub(crate) fn new(name: &'static str, log: &Log) -> Self {
        let log = log.clone();
        Self { name, log }
    }

    fn half(&self, half: &'static str) -> Arc<dyn Transform> {
        Arc::new(NotingHalf {
            of: self.clone(),
            half,
        })
    }
}

struct NotingHalf {
    of: Noting,
    half: &'static str,
}

impl NotingHalf {
    fn note(&self, what: &str) {
        let Self { of, half } = self;
        of.log.note(format!("{} {half} {what}", of.name));
    }
}

impl Transform for NotingHalf {
    fn headers(&self, metadata: Metadata) -> Metadata {
        self.note("headers");
        metadata
    }

    fn message(&self, message: Bytes) -> Result<Bytes, Status> {
        self.note("message");
        Ok(message)
    }

    fn end(&self, trailers: Trailers) -> Trailers {
        match &trailers.outcome {
            Ok(()) => self.note("end OK"),
            Err(status) => self.note(&format!("end {}", status.code)),
        }
        trailers
    }
}

#[async_trait]
impl ServerInterceptor for Noting {
    async fn intercept(&self, mut call: IncomingCall, next: ServerNext) {
        self.log.note(format!("{} call", self.name));
        call.receiver = call.receiver.through(self.half("request"));
        call.sender = call.sender.through(self.half("response"));
        next.run(call).await;
    }
}

#[async_trait]
impl ClientInterceptor for Noting {
    async fn intercept(
        &self,
        call: OutgoingCall,
        next: ClientNext,
    ) -> Result<(Sender, Receiver), CallError> {
        self.log.note(format!("{} call", self.name));
        let (sender, receiver) = next.run(call).await?;
        Ok((
            sender.through(self.half("request")),
            receiver.through(self.half("response")),
        ))
    }
}

/// Attaches a transform to one half of every call.
pub(crate) struct Attach {
    pub(crate) requests: bool,
    pub(crate) transform: Arc<dyn Transform>,
}

#[async_trait]
impl ServerInterceptor for Attach {
    async fn intercept(&self, mut call: IncomingCall, next: ServerNext) {
        let transform = Arc::clone(&self.transform);
        if self.requests {
            call.receiver = call.receiver.through(transform);
        } else {
            call.sender = call.sender.through(transform);
        }
        next.run(call).await;
    }
}

#[async_trait]
impl ClientInterceptor for Attach {
    async fn intercept(
        &self,
        call: OutgoingCall,
        next: ClientNext,
    ) -> Result<(Sender, Receiver), CallError> {
        let (sender, receiver) = next.run(call).await?;
        let transform = Arc::clone(&self.transform);
        Ok(if self.requests {
            (sender.through(transform), receiver)
        } else {
            (sender, receiver.through(transform))
        })
    }
}

pub(crate) fn code<T: std::fmt::Debug>(outcome: &Result<T, Status>) -> Code {
    outcome.as_ref().expect_err("the call must fail").code
}
