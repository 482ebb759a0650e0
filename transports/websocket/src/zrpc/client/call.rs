//! A call that has a socket for itself, by the original's frames.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use headwater_proto::zrpc::{
    CLOSE_TEXT, Ending, ROOT, close_outcome, encode_request, method_of, parse_error_text,
};
use headwater_rpc::{
    Closed, Code, EndedBy, Frame, Inbound, Metadata, Outbound, Pulled, Reached, Received, Status,
    Trailers,
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    ZrpcClientConfig,
    dial::{Socket, Spoken},
};

/// Bytes of replies after which one poll takes no more.
const POLL_BYTES: usize = 64 << 10;

/// A call on its socket. Nothing is read that nobody asks for: a reader that is slow holds the server back. Dropped, it
/// closes the socket, which cancels the call.
pub(super) struct PlainCall {
    socket: Socket,
    /// Whether the text `CLOSE` is the end, and not a remark.
    close_text: bool,
    request: Request,
    /// Whether the metadata of the responses were given, of which there are none.
    headers_given: bool,
    /// How the call ended, after what came with it was handed out.
    end: Option<Result<Frame, Closed>>,
}

/// How far the request has come.
enum Request {
    /// Its call has not said it yet.
    Awaited {
        name: String,
        outbound: Outbound,
    },
    /// It waits for the socket.
    Sending(Option<Message>, Outbound),
    /// It is out. What the call says beside it is its end.
    Sent(Outbound),
    Ended,
}

impl PlainCall {
    pub(super) fn new(socket: Socket, spoken: Spoken, config: &ZrpcClientConfig) -> Self {
        Self {
            socket,
            close_text: spoken == Spoken::Plain || config.ending == Ending::CloseText,
            request: Request::Ended,
            headers_given: false,
            end: None,
        }
    }

    /// Begins the call of the method at `path`. The request goes out at once, if it is there.
    pub(super) async fn start(
        mut self,
        path: &str,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        let name = method_of(path, ROOT);
        self.request = Request::Awaited { name, outbound };
        std::future::poll_fn(|cx| {
            if let Poll::Ready(Err(closed)) = self.poll_request(cx) {
                return Poll::Ready(Err(closed.status));
            }
            // What waits for the call or for the socket goes on when the replies are read.
            Poll::Ready(Ok(()))
        })
        .await?;
        Ok(Box::new(self))
    }

    /// Ready when the request is out, and as long as nothing is wrong with it.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        loop {
            match std::mem::replace(&mut self.request, Request::Ended) {
                Request::Awaited { name, mut outbound } => {
                    let mut frames = Vec::new();
                    let Poll::Ready(pulled) = outbound.poll_frames(cx, &mut frames) else {
                        self.request = Request::Awaited { name, outbound };
                        return Poll::Pending;
                    };
                    let blob = only_request(pulled, frames)?;
                    let message = Message::binary(encode_request(&name, &blob));
                    self.request = Request::Sending(Some(message), outbound);
                }
                Request::Sending(Some(message), outbound) => {
                    let mut socket = Pin::new(&mut self.socket);
                    let Poll::Ready(is_ready) = socket.as_mut().poll_ready(cx) else {
                        self.request = Request::Sending(Some(message), outbound);
                        return Poll::Pending;
                    };
                    let sent = is_ready.and_then(|()| socket.start_send(message));
                    sent.map_err(|error| broken(&error))?;
                    self.request = Request::Sending(None, outbound);
                }
                Request::Sending(None, outbound) => {
                    let Poll::Ready(flushed) = Pin::new(&mut self.socket).poll_flush(cx) else {
                        self.request = Request::Sending(None, outbound);
                        return Poll::Pending;
                    };
                    flushed.map_err(|error| broken(&error))?;
                    self.request = Request::Sent(outbound);
                }
                Request::Sent(mut outbound) => {
                    let mut frames = Vec::new();
                    match outbound.poll_frames(cx, &mut frames) {
                        Poll::Pending => self.request = Request::Sent(outbound),
                        Poll::Ready(Pulled::Frames) if has_message(&frames) => {
                            return Poll::Ready(Err(not_one_request()));
                        }
                        Poll::Ready(Pulled::Reset(code)) => {
                            return Poll::Ready(Err(Closed::cancelled(code)));
                        }
                        Poll::Ready(Pulled::Frames | Pulled::Done) => {}
                    }
                    return Poll::Ready(Ok(()));
                }
                Request::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Takes one message of the server; how much it was.
    fn take(&mut self, message: Message, frames: &mut Vec<Frame>) -> usize {
        let blob = match message {
            Message::Binary(blob) => blob,
            Message::Text(text) => {
                let text = text.as_str();
                if let Some(status) = parse_error_text(text) {
                    self.end = Some(Ok(Frame::end(Trailers::failed(status))));
                    return 0;
                }
                if self.close_text && text == CLOSE_TEXT {
                    self.end = Some(Ok(Frame::end(Trailers::ok())));
                    return 0;
                }
                // What an old server remarks.
                Bytes::copy_from_slice(text.as_bytes())
            }
            Message::Close(frame) => {
                let code = frame.as_ref().map(|frame| u16::from(frame.code));
                let reason = frame.as_ref().map_or("", |frame| frame.reason.as_str());
                let outcome = close_outcome(code, reason);
                let metadata = Metadata::new();
                self.end = Some(Ok(Frame::end(Trailers { outcome, metadata })));
                return 0;
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return 0,
        };
        if !self.headers_given {
            self.headers_given = true;
            frames.push(Frame::Headers(Metadata::new()));
        }
        let len = blob.len();
        frames.push(Frame::Message(blob));
        len
    }
}

impl Inbound for PlainCall {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let frames = &mut received.frames;
        let before = frames.len();
        if self.end.is_none() {
            if let Poll::Ready(Err(closed)) = self.poll_request(cx) {
                return Poll::Ready(Err(closed));
            }
            let mut taken = 0;
            while self.end.is_none() && taken < POLL_BYTES {
                match Pin::new(&mut self.socket).poll_next(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Some(Ok(message))) => taken += self.take(message, frames),
                    Poll::Ready(Some(Err(error))) => self.end = Some(Err(broken(&error))),
                    Poll::Ready(None) => {
                        self.end = Some(Err(Closed::broken("the server has gone")));
                    }
                }
            }
        }
        match self.end.take() {
            None if frames.len() == before => return Poll::Pending,
            None => {}
            Some(Ok(end)) => frames.push(end),
            Some(Err(closed)) if frames.len() == before => return Poll::Ready(Err(closed)),
            // Said at the next poll, after the application was given what came before.
            Some(Err(closed)) => self.end = Some(Err(closed)),
        }
        Poll::Ready(Ok(()))
    }
}

/// The request of a call that has exactly one.
fn only_request(pulled: Pulled, frames: Vec<Frame>) -> Result<Bytes, Closed> {
    match pulled {
        Pulled::Frames => {}
        Pulled::Reset(code) => return Err(Closed::cancelled(code)),
        Pulled::Done => return Err(not_one_request()),
    }
    let mut frames = frames.into_iter();
    let (Some(Frame::Message(blob)), None | Some(Frame::End(_))) = (frames.next(), frames.next())
    else {
        return Err(not_one_request());
    };
    Ok(blob)
}

fn has_message(frames: &[Frame]) -> bool {
    frames.iter().any(|frame| !matches!(frame, Frame::End(_)))
}

fn not_one_request() -> Closed {
    let message = "a call without an id has exactly one request, uncompressed";
    Closed {
        status: Status::new(Code::Unimplemented, message),
        by: EndedBy::Local,
        reached: Reached::Handler,
    }
}

fn broken(error: &dyn std::fmt::Display) -> Closed {
    Closed::broken(&format!("the connection was lost: {error}"))
}
