//! The typed sending half.

use std::fmt;

use headwater_core::call::SendError;
use headwater_proto::{Code, Metadata, Status};

use super::codec::{CodecError, Serialize, SerializeInto, Serializer};
use crate::{Compress, Encoding, Sender, run::Run};

/// Sends the messages of one direction of a call, from any thread.
///
/// Dropping it does not say that the messages are complete. On the client [`Sink::finish`] says it; on the server the
/// handler does, by returning.
pub struct Sink<T> {
    sender: Sender,
    serialize: Serialize<T>,
    serialize_into: SerializeInto<T>,
}

impl<T> Sink<T> {
    /// Sends on `sender` what `C` makes of messages.
    pub fn new<C: Serializer<T>>(sender: Sender) -> Self {
        Self {
            sender,
            serialize: C::serialize,
            serialize_into: C::serialize_into,
        }
    }

    /// Sends a message, waiting for room.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if it could not be encoded or the method does not have another message, `RESOURCE_EXHAUSTED` if it is
    /// over the limit, and `CANCELLED` if the call is over: how it ended is then with [`super::Messages`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the message was not sent.
    pub async fn send(&self, message: T) -> Result<(), Status> {
        let mut run = Run::spare();
        let encoded = self.encode(std::slice::from_ref(&message), &mut run);
        encoded.map_err(|error| error.sending())?;
        // What is waited with is the bytes.
        drop(message);
        // Nearly always there is room.
        if self.sender.try_send_run(&mut run) != Ok(true) {
            Box::pin(self.send_rest(&mut run)).await?;
        }
        run.keep_spare();
        Ok(())
    }

    /// [`Sink::send`], with a say in whether this message is compressed.
    ///
    /// # Errors
    ///
    /// As [`Sink::send`].
    ///
    /// # Cancel safety
    ///
    /// As [`Sink::send`].
    pub async fn send_with(&self, message: T, compress: Compress) -> Result<(), Status> {
        let bytes = (self.serialize)(&message).map_err(|error| error.sending())?;
        // What is waited with is the bytes.
        drop(message);
        let sent = self.sender.send_with(bytes, compress).await;
        sent.map_err(refused)
    }

    /// Sends a message without waiting. `false` if there is no room for it now.
    ///
    /// # Errors
    ///
    /// As [`Sink::send`].
    pub fn try_send(&self, message: &T) -> Result<bool, Status> {
        let mut run = Run::spare();
        let encoded = self.encode(std::slice::from_ref(message), &mut run);
        encoded.map_err(|error| error.sending())?;
        let sent = match self.sender.try_send_run(&mut run) {
            Ok(false) => self.sender.try_send(run.take_first().unwrap_or_default()),
            sent => sent.map(|_| ()),
        };
        run.keep_spare();
        match sent {
            Ok(()) => Ok(true),
            Err(SendError::Blocked) => Ok(false),
            Err(error) => Err(refused(error)),
        }
    }

    /// Sends messages in order, waiting for room. Cheaper than one [`Sink::send`] each.
    ///
    /// # Errors
    ///
    /// As [`Sink::send`]. If one cannot be encoded, none was sent; otherwise those before it were.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the first of the messages were sent, and it is not known how many.
    pub async fn send_all(&self, messages: &[T]) -> Result<(), Status> {
        let mut run = Run::spare();
        let encoded = self.encode(messages, &mut run);
        encoded.map_err(|error| error.sending())?;
        // Nearly always there is room.
        if self.sender.try_send_run(&mut run) != Ok(true) {
            Box::pin(self.send_rest(&mut run)).await?;
        }
        run.keep_spare();
        Ok(())
    }

    /// Appends the messages to the run. The callers make a status of the error: handing one on costs each message.
    fn encode(&self, messages: &[T], run: &mut Run) -> Result<(), CodecError> {
        for message in messages {
            run.push(|bytes| (self.serialize_into)(message, bytes))?;
        }
        Ok(())
    }

    /// Sends what is in the run, waiting for room.
    async fn send_rest(&self, run: &mut Run) -> Result<(), Status> {
        loop {
            match self.sender.try_send_run(run) {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    let first = run.take_first().unwrap_or_default();
                    self.sender.send(first).await.map_err(refused)?;
                }
                Err(SendError::Blocked) => self.sender.writable().await,
                Err(error) => return Err(refused(error)),
            }
        }
    }

    /// Server: compresses this call's messages from now on, as [`Sender::set_compression`].
    ///
    /// # Errors
    ///
    /// `CANCELLED` if the call is over; `INTERNAL` if the initial metadata went before, or this is the client's side.
    pub fn set_compression(&self, encoding: Encoding) -> Result<(), Status> {
        self.sender.set_compression(encoding).map_err(refused)
    }

    /// Server: sends the initial metadata. Without this they go out, empty, with the first message.
    ///
    /// # Errors
    ///
    /// `CANCELLED` if the call is over; `INTERNAL` if they went before, or this is the client's side.
    pub fn send_headers(&self, metadata: Metadata) -> Result<(), Status> {
        self.sender.send_headers(metadata).map_err(refused)
    }

    /// Client: says that no more messages come. The responses go on.
    ///
    /// # Errors
    ///
    /// `CANCELLED` if the call is over; `INTERNAL` if it was said before, the method's one message is missing, or this
    /// is the server's side, where a handler ends the call by returning.
    pub fn finish(&self) -> Result<(), Status> {
        let done = self.sender.finish_requests();
        done.map_err(refused)
    }

    /// Gives the call up, from either side. Does nothing if it is over.
    pub fn cancel(&self) {
        self.sender.cancel();
    }

    /// Whether the call is over; then nothing more is sent.
    pub fn is_ended(&self) -> bool {
        self.sender.is_ended()
    }

    /// The half below, which sends bytes.
    pub const fn sender(&self) -> &Sender {
        &self.sender
    }
}

/// Sends on the same call.
impl<T> Clone for Sink<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            serialize: self.serialize,
            serialize_into: self.serialize_into,
        }
    }
}

impl<T> fmt::Debug for Sink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

/// What the application is told when a send was refused.
pub(super) fn refused(error: SendError) -> Status {
    let code = match error {
        SendError::Ended => Code::Cancelled,
        SendError::Blocked | SendError::TooLarge => Code::ResourceExhausted,
        SendError::Misuse => Code::Internal,
        // A refusal of a later core.
        _ => Code::Unknown,
    };
    Status::new(code, error.to_string())
}
