//! The link as plain calls of `WpsRpc`: what the engine wants, over one server stream and a call for each answer and
//! command.

use std::{
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use headwater_core::{
    Time,
    link::{
        calls::{
            REGISTRATION,
            upstream::{Input, Output, UpstreamCalls},
        },
        upstream::Input as LinkInput,
    },
};
use headwater_proto::{Metadata, Status, v1};
use headwater_rpc::{CallError, CallOptions, Client, EndedBy, Receiver, Sender, Shape};

use crate::{UpstreamConfig, engine::Engine, session::Step, token::bearer};

/// After so many rounds in a row, other tasks get their turn.
const ROUNDS_A_TURN: usize = 32;

/// The call of `register`, and the calls that are under way.
pub(crate) struct CallsSession {
    machine: UpstreamCalls,
    client: Client,
    metadata: Metadata,
    call_timeout: Duration,
    window: v1::Window,
    sender: Sender,
    receiver: Receiver,
    accepted: bool,
    received: Vec<Bytes>,
    /// What each has come to.
    calls: FuturesUnordered<BoxFuture<'static, Input>>,
    /// No more is wanted: the call of `register` ends with the last call.
    leaving: bool,
}

impl CallsSession {
    /// `metadata` is that of the call of `register`, whose halves these are.
    pub(crate) fn new(
        client: Client,
        metadata: Metadata,
        (sender, receiver): (Sender, Receiver),
        config: &UpstreamConfig,
    ) -> Self {
        let window = config.window();
        Self {
            machine: UpstreamCalls::new(window),
            client,
            metadata,
            call_timeout: config.register_timeout,
            window,
            sender,
            receiver,
            accepted: false,
            received: Vec::new(),
            calls: FuturesUnordered::new(),
            leaving: false,
        }
    }

    /// The application is done with its events: leaves once the calls under way have ended.
    pub(crate) const fn half_close(&mut self) {
        self.leaving = true;
    }

    /// Gives the registration up.
    pub(crate) fn abort(&self) {
        self.sender.cancel();
    }

    /// Takes in what came, lets the engine work, and makes the calls that it wants.
    pub(crate) fn poll(
        &mut self,
        engine: &mut Engine,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Poll<Step> {
        for _ in 0..ROUNDS_A_TURN {
            let was_full = self.is_full(engine);
            let polled = if was_full {
                // What is done wakes this task.
                Poll::Pending
            } else {
                self.poll_events(cx)
            };
            // Calls that this begins are polled for the first time below.
            let mut done = self.exchange(engine, now, cx);
            let answered = self.poll_answers(cx);
            if answered && done.is_ok() {
                done = self.exchange(engine, now, cx);
            }
            if let Err(status) = done {
                self.abort();
                return Poll::Ready(Step::Ended(Err(status)));
            }
            match polled {
                Poll::Ready(Ok(0)) => return Poll::Ready(Step::Ended(Ok(()))),
                Poll::Ready(Err(status)) => return Poll::Ready(Step::Ended(Err(status))),
                Poll::Ready(Ok(_)) | Poll::Pending => {}
            }
            if self.leaving && self.machine.pending() == 0 {
                self.abort();
                return Poll::Ready(Step::Ended(Ok(())));
            }
            if let Some(signal) = engine.signal() {
                return Poll::Ready(Step::Changed(Some(signal)));
            }
            let has_room_again = was_full && !self.is_full(engine);
            if polled.is_pending() && !answered && !has_room_again {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether the application holds all that it wants to: the service counts an event as done when it is answered, which
    /// may be before its handler ends, and a notice when it is sent.
    fn is_full(&self, engine: &mut Engine) -> bool {
        let (events, bytes) = engine.link().held();
        events >= self.window.events || bytes >= self.window.bytes
    }

    /// Reads what came on the call of `register`; how much it was.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Status>> {
        if !self.accepted && self.poll_accepted(cx).is_pending() {
            return Poll::Pending;
        }
        let polled = self.receiver.poll_next_batch(cx, &mut self.received);
        for message in self.received.drain(..) {
            self.machine.handle(Input::Message(message));
        }
        polled.map_err(|error| error.status)
    }

    fn poll_accepted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let headers = std::task::ready!(pin!(self.receiver.headers()).poll(cx));
        self.accepted = true;
        // Without headers the call has ended, and its end is read next.
        if let Some(headers) = headers {
            let registration = headers.text(REGISTRATION).unwrap_or_default().to_owned();
            self.machine.handle(Input::Accepted { registration });
        }
        Poll::Ready(())
    }

    /// Whether a call has ended.
    fn poll_answers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Poll::Ready(Some(ended)) = self.calls.poll_next_unpin(cx) {
            self.machine.handle(ended);
            any = true;
        }
        any
    }

    /// Carries words between the machine and the engine until neither has any.
    fn exchange(
        &mut self,
        engine: &mut Engine,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<(), Status> {
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.perform(output, engine, now)?;
            }
            engine.poll(now, cx);
            let mut quiet = true;
            for frame in engine.take_frames() {
                self.machine.handle(Input::Said(frame));
                quiet = false;
            }
            if quiet {
                return Ok(());
            }
        }
    }

    fn perform(&mut self, output: Output, engine: &mut Engine, now: Time) -> Result<(), Status> {
        match output {
            Output::Register(register) => {
                let register = prost::Message::encode_to_vec(&*register);
                let sent = self.sender.try_send(register.into());
                // The end of the call tells, if it has one.
                let _ = sent.and_then(|()| self.sender.finish(Ok(()), Metadata::new()));
            }
            Output::Call { seq, path, request } => self.call(seq, path, request),
            Output::Heard(frame) => engine.handle(LinkInput::Frame(frame), now),
            Output::Lost { seq } => engine.handle(LinkInput::Lost { seq }, now),
            Output::Token(token) => match bearer(Some(&token)) {
                Ok(metadata) => self.metadata = metadata,
                Err(status) => tracing::error!(%status, "a fresh token cannot be sent"),
            },
            Output::Close(status) => return Err(status),
        }
        Ok(())
    }

    fn call(&self, seq: u64, path: &'static str, request: Bytes) {
        let (client, metadata) = (self.client.clone(), self.metadata.clone());
        let options = CallOptions {
            timeout: Some(self.call_timeout),
            shape: Shape::Unary,
            ..CallOptions::default()
        };
        self.calls.push(Box::pin(async move {
            let call = client.call_with_request(path, metadata, request, options);
            match response(call).await {
                Ok(response) => Input::Answered {
                    seq,
                    outcome: Ok(response),
                },
                Err(CallError {
                    status,
                    by: EndedBy::Status,
                }) => Input::Answered {
                    seq,
                    outcome: Err(status),
                },
                Err(CallError { status, .. }) => Input::Lost { seq, status },
            }
        }));
    }
}

/// The one response of a unary call.
async fn response(
    call: impl Future<Output = Result<(Sender, Receiver), CallError>>,
) -> Result<Bytes, CallError> {
    let (_sender, mut receiver) = call.await?;
    let mut messages = Vec::new();
    while receiver.next_batch(&mut messages).await? > 0 {}
    // The machine of the call lets none succeed without it.
    Ok(messages.pop().unwrap_or_default())
}

impl Drop for CallsSession {
    fn drop(&mut self) {
        let skipped = self.machine.skipped();
        if skipped > 0 {
            tracing::warn!(
                skipped,
                "the service sent events that this version does not know"
            );
        }
    }
}
