//! The sending half of a call.

use std::{
    fmt,
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use headwater_core::call::{Encoding, SendError, Trailers};
use headwater_proto::{Code, Metadata, Status};
use tokio::task::coop::consume_budget;

use crate::{
    compression::{self, Compress, Outgoing},
    interceptor::{Stages, Transform},
    run::Run,
    shared::{Shared, Side, State, register},
};

/// How many messages are sent under one lock.
const BATCH: usize = 32;

/// Sends messages on a call, from any thread, also while another task holds the [`crate::Receiver`].
///
/// Clones send on the same call. What several sends leave before the transport looks goes out as one.
///
/// Dropping a sender does not say that the messages are complete: [`Sender::finish`] does. When a server's last sender
/// is dropped without it, the client gets `UNKNOWN`; when a client's last sender and its receiver are dropped, the call
/// is cancelled.
pub struct Sender {
    call: Arc<Shared>,
    stages: Option<Arc<Stages>>,
}

impl Sender {
    pub(crate) fn new(call: Arc<Shared>) -> Self {
        call.add_sender();
        Self { call, stages: None }
    }

    /// Has all that is sent from here on, by this sender and the clones that are made of it, pass `transform` first, and
    /// then those that were attached before.
    #[must_use]
    pub fn through(mut self, transform: Arc<dyn Transform>) -> Self {
        let mut stages = self.stages.as_deref().cloned().unwrap_or_default();
        let stage = stages.push_outer(transform);
        self.stages = Some(Arc::new(stages));
        self.call.act(|state| state.end_stages.insert(0, stage));
        self
    }

    pub(crate) const fn call(&self) -> &Arc<Shared> {
        &self.call
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    ///
    /// `Blocked` if the call's window is full: [`Sender::writable`] says when to try again. `Ended` if the call is over.
    pub fn try_send(&self, mut message: Bytes) -> Result<(), SendError> {
        if self.stages.is_none() && self.call.send_plain(&mut message)? {
            return Ok(());
        }
        self.try_send_with(message, Compress::Auto)
    }

    /// [`Sender::try_send`], with a say in whether this message is compressed.
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`].
    pub fn try_send_with(&self, message: Bytes, compress: Compress) -> Result<(), SendError> {
        let message = match &self.stages {
            Some(stages) => {
                self.check_room(&message)?;
                self.transformed(stages, message)?
            }
            None => message,
        };
        self.attempt(&mut Outgoing::new(message, compress))
    }

    /// Compresses outside of the mutex.
    fn attempt(&self, outgoing: &mut Outgoing) -> Result<(), SendError> {
        while let Some(encoding) = self.call.act(|state| outgoing.send(&mut state.call))? {
            outgoing.pack(encoding);
        }
        Ok(())
    }

    /// Sends messages without waiting, in order, up to the first that is refused, and says how many went.
    ///
    /// Cheaper than one [`Sender::try_send`] each, for some tens of them are sent at once. So the iterator may have been
    /// asked for some more than the one that was refused, and those are dropped as well.
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`], if not even the first went.
    pub fn try_send_all(
        &self,
        messages: impl IntoIterator<Item = Bytes>,
    ) -> Result<usize, SendError> {
        if self.stages.is_some() {
            return all(messages, |message| self.try_send(message));
        }
        let mut messages = messages.into_iter();
        let mut batch = [const { Bytes::new() }; BATCH];
        let mut sent = 0;
        loop {
            // Outside of the mutex: an iterator may do anything, such as use this call.
            let mut taken = 0;
            for (place, message) in batch.iter_mut().zip(&mut messages) {
                *place = message;
                taken += 1;
            }
            match self.try_send_batch(&mut batch[..taken], &mut sent) {
                Ok(()) if taken == BATCH => {}
                Err(error) if sent == 0 => return Err(error),
                Ok(()) | Err(_) => return Ok(sent),
            }
        }
    }

    /// Takes the messages that can be sent, up to the first that cannot, and counts them.
    fn try_send_batch(&self, batch: &mut [Bytes], sent: &mut usize) -> Result<(), SendError> {
        let mut rest = batch.iter_mut();
        let mut sending = None;
        loop {
            let attempt = self.call.act(|state| {
                loop {
                    let mut outgoing = match sending.take() {
                        Some(outgoing) => outgoing,
                        None => {
                            let Some(message) = rest.next() else {
                                return Ok(None);
                            };
                            if state.send_plain(message)? {
                                *sent += 1;
                                continue;
                            }
                            Outgoing::new(mem::take(message), Compress::Auto)
                        }
                    };
                    if let Some(encoding) = outgoing.send(&mut state.call)? {
                        return Ok(Some((outgoing, encoding)));
                    }
                    *sent += 1;
                }
            });
            let Some((mut outgoing, encoding)) = attempt? else {
                return Ok(());
            };
            outgoing.pack(encoding);
            sending = Some(outgoing);
        }
    }

    /// Sends the messages of a run without waiting, from its front, as far as they can go as they are. `false` if the
    /// first that is left has to be sent by itself, because it is to be compressed or transformed.
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`], of the first that is left.
    pub(crate) fn try_send_run(&self, run: &mut Run) -> Result<bool, SendError> {
        if self.stages.is_some() {
            return Ok(run.is_empty());
        }
        self.call.send_run(run)
    }

    /// Waits until a send is likely to have room, or the call is over.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn writable(&self) {
        poll_fn(|cx| self.poll_writable(cx)).await;
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.call.look(|state| {
            // One byte: a window that is not used up has room for something.
            if state.ended.is_some() || state.call.is_ended() || !state.call.is_blocked() {
                return Poll::Ready(());
            }
            register(&mut state.writable_wakers, cx.waker());
            Poll::Pending
        })
    }

    /// How many of the messages of this call its transport has taken: those it holds or has written. What the call still
    /// had to send when it ended is not among them. Of a client's call that has a policy, it is not known, and 0; of
    /// one that is sent again, what its last stream took.
    pub fn taken_messages(&self) -> u64 {
        self.call.look(|state| state.taken)
    }

    /// Waits until the transport has taken more than so many messages, or the call is over, and says how many it has
    /// ([`Sender::taken_messages`]).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn taken_beyond(&self, messages: u64) -> u64 {
        poll_fn(|cx| {
            self.call.look(|state| {
                if state.taken > messages || state.ended.is_some() {
                    return Poll::Ready(state.taken);
                }
                register(&mut state.taken_wakers, cx.waker());
                Poll::Pending
            })
        })
        .await
    }

    /// Sends a message, waiting for room.
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`], but never `Blocked`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the message was not sent.
    pub async fn send(&self, mut message: Bytes) -> Result<(), SendError> {
        if self.stages.is_none() {
            match self.call.send_plain(&mut message) {
                Ok(true) => return Ok(()),
                Ok(false) | Err(SendError::Blocked) => {}
                Err(error) => return Err(error),
            }
        }
        self.send_with(message, Compress::Auto).await
    }

    /// [`Sender::send`], with a say in whether this message is compressed.
    ///
    /// # Errors
    ///
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::send`].
    pub async fn send_with(&self, message: Bytes, compress: Compress) -> Result<(), SendError> {
        let message = match &self.stages {
            Some(stages) => {
                self.room(&message).await?;
                self.transformed(stages, message)?
            }
            None => message,
        };
        let mut outgoing = Outgoing::new(message, compress);
        // A peer that reads no more never blocks a sender, which would not let others run, nor hear of the call's end.
        consume_budget().await;
        loop {
            match self.attempt(&mut outgoing) {
                Err(SendError::Blocked) => self.writable().await,
                result => return result,
            }
        }
    }

    /// Server: compresses this call's messages from now on, in place of [`crate::ServerConfig::compression`]. They stay
    /// uncompressed if the client does not take this encoding, or the build does not have it.
    ///
    /// # Errors
    ///
    /// `Ended`; or `Misuse`, if the initial metadata went before, or this is the client's side.
    pub fn set_compression(&self, encoding: Encoding) -> Result<(), SendError> {
        let encoding = compression::supported_or_identity(encoding);
        self.call
            .act(|state| state.call.set_send_encoding(encoding))
    }

    /// Server: sends the initial metadata. Without this they go out, empty, with the first message.
    ///
    /// # Errors
    ///
    /// `Ended`; or `Misuse`, if they went before or this is the client's side.
    pub fn send_headers(&self, metadata: Metadata) -> Result<(), SendError> {
        let send = |metadata| self.call.act(|state| state.call.send_headers(metadata));
        let stages = self.stages.as_ref();
        let Some(stages) = stages.filter(|_| self.call.side == Side::Server) else {
            return send(metadata);
        };
        let mut sent = Err(SendError::Misuse);
        let once = &self.call.headers_sent;
        once.call_once_force(|_| sent = send(stages.headers(metadata)));
        sent
    }

    /// Has the machine refuse a message before a transform has seen it. How large that makes it is not known yet.
    fn check_room(&self, message: &Bytes) -> Result<(), SendError> {
        let bytes = message.len();
        self.call.act(|state| state.call.check_send(bytes, bytes))
    }

    /// Waits until the machine would take it.
    async fn room(&self, message: &Bytes) -> Result<(), SendError> {
        loop {
            match self.check_room(message) {
                Err(SendError::Blocked) => self.writable().await,
                result => return result,
            }
        }
    }

    fn transformed(&self, stages: &Stages, message: Bytes) -> Result<Bytes, SendError> {
        if self.call.side == Side::Server {
            // Headers are refused if they went before the transform came.
            let _ = self.send_headers(Metadata::new());
        }
        stages.message(message).map_err(|status| {
            self.call.fail(stages.fail(status));
            SendError::Ended
        })
    }

    /// Says that no more messages come.
    ///
    /// On the server this ends the call with `outcome` and trailing metadata. On the client success is the half-close,
    /// and a failure cancels the call; the metadata says nothing there.
    ///
    /// # Errors
    ///
    /// `Ended`; or `Misuse`, if it was said before or the method's one message is missing.
    pub fn finish(&self, outcome: Result<(), Status>, metadata: Metadata) -> Result<(), SendError> {
        let mut trailers = Trailers { outcome, metadata };
        if let Some(stages) = &self.stages {
            let succeeds = trailers.outcome.is_ok();
            // A client may cancel at any time.
            if succeeds || self.call.side == Side::Server {
                self.call.look(|state| state.call.may_end(succeeds))?;
            }
            trailers = stages.end(trailers);
        }
        self.call
            .act(|state| match (self.call.side, trailers.outcome) {
                (Side::Client, Ok(())) => state.call.half_close(),
                (Side::Client, Err(status)) => {
                    state.call.cancel(status);
                    Ok(())
                }
                (Side::Server, outcome) => {
                    let metadata = trailers.metadata;
                    state.finish(Trailers { outcome, metadata })
                }
            })
    }

    /// Client: the half-close. The server's side is refused it, and so cannot end a call as a success by mistake.
    pub(crate) fn finish_requests(&self) -> Result<(), SendError> {
        if self.call.side == Side::Server {
            return Err(SendError::Misuse);
        }
        self.finish(Ok(()), Metadata::new())
    }

    /// Gives the call up, from either side. Does nothing if it is over.
    pub fn cancel(&self) {
        let status = Status::new(Code::Cancelled, "the call was cancelled");
        self.call.cancel(status);
    }

    /// Gives the call up with this failure, from either side, and throws away what the transport has not taken: a peer that
    /// takes nothing has nothing held for it. Does nothing if the call is over.
    ///
    /// Unlike with [`Sender::finish`] the peer may not hear the status, but at least that the call failed; where its transport
    /// resets streams, with the code that the reset stands for: on HTTP/2 and HTTP/3 those are `RESOURCE_EXHAUSTED`,
    /// `INTERNAL`, and `CANCELLED` for all others.
    pub fn abort(&self, status: Status) {
        self.call.cancel(status);
    }

    /// Whether the call is over; then nothing more is sent.
    pub fn is_ended(&self) -> bool {
        self.call.look(|state| state.ended.is_some())
    }

    /// Waits until the call is over.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn ended(&self) {
        let ended = |state: &State| state.ended.as_ref().map(|_| ());
        self.call.when_over(ended).await;
    }
}

/// Does this to the messages up to the first that is refused.
fn all(
    messages: impl IntoIterator<Item = Bytes>,
    mut send: impl FnMut(Bytes) -> Result<(), SendError>,
) -> Result<usize, SendError> {
    let mut sent = 0;
    for message in messages {
        match send(message) {
            Ok(()) => sent += 1,
            Err(error) if sent == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(sent)
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        let mut clone = Self::new(Arc::clone(&self.call));
        clone.stages.clone_from(&self.stages);
        clone
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.call.drop_sender();
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
