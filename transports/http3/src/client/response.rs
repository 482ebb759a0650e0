//! What comes back on a call.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use headwater_rpc::{
    Closed, Code, Frame, Inbound, Metadata, Received, Status, Violation,
    http::{Messages, Part, Source, response},
};
use http::Response;
use quinn::VarInt;
use tokio::sync::oneshot;

use super::{
    cell::SendCell,
    driver::{Job, Linger},
    shared::{Shared, unserved},
};
use crate::{
    codes, quic,
    sections::{Unfit, content_length},
    stream::{Event, Fault, FrameReader},
};

/// Interim responses (1xx) that may come before the one that counts.
const INTERIM_MAX: usize = 16;

/// The responses of a call, from before their headers.
///
/// Dropped before their end, both directions of the stream are reset.
pub(super) struct ResponseInbound {
    state: State,
    message_bytes_max: usize,
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly every response is open for most of its time"
)]
enum State {
    Waiting(ResponseSource, usize),
    Open(Messages<ResponseSource>),
    Ended,
}

impl ResponseInbound {
    pub(super) fn new(
        stream: quinn::RecvStream,
        message_bytes_max: usize,
        section_bytes_max: u64,
        shared: Arc<Shared>,
        cell: Arc<SendCell>,
    ) -> Self {
        let id = VarInt::from(stream.id()).into_inner();
        let source = ResponseSource {
            reader: Some(FrameReader::new(stream, section_bytes_max)),
            id,
            shared,
            cell,
            expected: false,
            fault: None,
            ended: false,
        };
        Self {
            state: State::Waiting(source, 0),
            message_bytes_max,
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Closed>> {
        loop {
            let State::Waiting(source, interim) = &mut self.state else {
                return Poll::Ready(Err(Closed::without_status()));
            };
            let response = match ready!(source.poll_response(cx))? {
                Answer::Known(metadata) => {
                    let State::Waiting(source, _) = mem::replace(&mut self.state, State::Ended)
                    else {
                        return Poll::Ready(Err(Closed::without_status()));
                    };
                    return Poll::Ready(Ok(self.begin(source, metadata, None)));
                }
                Answer::New(response, section) => (response, section),
            };
            let (response, section) = response;
            if response.status().is_informational() {
                *interim += 1;
                if *interim > INTERIM_MAX {
                    return Poll::Ready(Err(source.violation(codes::EXCESSIVE_LOAD)));
                }
                continue;
            }
            let State::Waiting(source, _) = mem::replace(&mut self.state, State::Ended) else {
                return Poll::Ready(Err(Closed::without_status()));
            };
            return Poll::Ready(self.responded(&response, section, source));
        }
    }

    fn responded(
        &mut self,
        response: &Response<()>,
        section: Bytes,
        mut source: ResponseSource,
    ) -> Result<Frame, Closed> {
        let fields = response.headers();
        let first = response::to_frame(response.status(), fields)?;
        let Frame::Headers(metadata) = first else {
            source.end();
            return Ok(first);
        };
        let announced = content_length(fields).unwrap_or_default();
        if announced.is_none() {
            let length = section.len();
            let answers = &source.shared.answers;
            answers.insert(section, metadata.clone(), length);
        }
        Ok(self.begin(source, metadata, announced))
    }

    fn begin(
        &mut self,
        mut source: ResponseSource,
        metadata: Metadata,
        announced: Option<u64>,
    ) -> Frame {
        source.begin_body(announced);
        self.state = State::Open(Messages::responses(source, self.message_bytes_max));
        Frame::Headers(metadata)
    }
}

impl Inbound for ResponseInbound {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let before = received.len();
        if let State::Waiting(..) = &self.state {
            let head = ready!(self.poll_head(cx));
            if head.is_err() {
                self.state = State::Ended;
            }
            received.frames.push(head?);
        }
        match &mut self.state {
            State::Open(messages) => messages.poll_more(cx, received, before),
            State::Ended if received.len() > before => Poll::Ready(Ok(())),
            State::Ended | State::Waiting(..) => Poll::Ready(Err(Closed::without_status())),
        }
    }
}

/// What a response begins with.
enum Answer {
    /// The metadata of a call's responses, as they were read before.
    Known(Metadata),
    New(Response<()>, Bytes),
}

/// The parts of a response.
struct ResponseSource {
    /// `None` only while this is dropped.
    reader: Option<FrameReader>,
    id: u64,
    shared: Arc<Shared>,
    cell: Arc<SendCell>,
    /// The connection wakes this stream if it is not served.
    expected: bool,
    /// It has ended so, and all that the server has said beside it is looked at.
    fault: Option<(oneshot::Receiver<()>, Fault)>,
    /// The server has said how the call ended.
    ended: bool,
}

impl ResponseSource {
    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Closed>> {
        if self.fault.is_some() {
            return self.poll_fault(cx).map(Err);
        }
        let Some(reader) = &mut self.reader else {
            return Poll::Ready(Err(Closed::without_status()));
        };
        let section = match reader.poll_event(cx) {
            Poll::Ready(Ok(Some(Event::Headers(section)))) => section,
            Poll::Ready(Ok(Some(Event::Data(_)) | None)) => {
                return Poll::Ready(Err(Closed::without_status()));
            }
            Poll::Ready(Err(fault @ (Fault::Reset(codes::REQUEST_REJECTED) | Fault::Lost(_)))) => {
                self.fault = Some((self.shared.turn(), fault));
                return self.poll_fault(cx).map(Err);
            }
            Poll::Ready(Err(fault)) => return Poll::Ready(Err(self.fault(fault))),
            Poll::Pending => {
                self.expected = true;
                if self.shared.is_unserved(self.id, cx) {
                    return Poll::Ready(Err(unserved()));
                }
                return Poll::Pending;
            }
        };
        if let Some(metadata) = self.shared.answers.get(&section) {
            return Poll::Ready(Ok(Answer::Known(metadata)));
        }
        let decoded = self.shared.sections.decode_response(&section);
        let decoded = decoded.map_err(|unfit| self.unfit(unfit));
        Poll::Ready(decoded.map(|response| Answer::New(response, section)))
    }

    /// A server that goes serves nothing that comes after its GOAWAY, which is on another stream. That is looked at first:
    /// or the call would not be sent again, or on this connection.
    fn poll_fault(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        if let Some((turn, _)) = &mut self.fault {
            // Gone is as good as done: then nothing more is heard.
            let _ = ready!(Pin::new(turn).poll(cx));
        }
        let fault = self.fault.take();
        Poll::Ready(fault.map_or_else(Closed::without_status, |(_, fault)| self.fault(fault)))
    }

    fn begin_body(&mut self, announced: Option<u64>) {
        self.forget();
        if let Some(reader) = &mut self.reader {
            reader.begin_body(announced);
        }
    }

    /// The server has said how the call ended.
    fn end(&mut self) {
        self.ended = true;
    }

    fn forget(&mut self) {
        if mem::take(&mut self.expected) {
            self.shared.expect_no_more(self.id);
        }
    }

    fn fault(&mut self, fault: Fault) -> Closed {
        match fault {
            Fault::Reset(code) => codes::closed_by_reset(code),
            Fault::Lost(error) => self.shared.lost(self.id, &error),
            Fault::Stream(code) => self.violation(code),
            Fault::TooLarge => self.unfit(Unfit::TooLarge),
            Fault::Connection(code) => self.connection_fault(code),
        }
    }

    fn unfit(&mut self, unfit: Unfit) -> Closed {
        match unfit {
            Unfit::TooLarge => {
                self.stop(codes::EXCESSIVE_LOAD);
                let message = "the server's metadata are larger than what is taken";
                Closed {
                    status: Status::new(Code::ResourceExhausted, message),
                    ..Closed::violation(Violation::TooLarge)
                }
            }
            Unfit::Malformed => self.violation(codes::MESSAGE_ERROR),
            Unfit::Undecodable => self.connection_fault(codes::DECOMPRESSION_FAILED),
        }
    }

    fn violation(&mut self, code: VarInt) -> Closed {
        self.stop(code);
        Closed::violation(Violation::Undecodable)
    }

    fn connection_fault(&self, code: VarInt) -> Closed {
        quic::close(&self.shared.quic, code, "a response is not valid");
        Closed::violation(Violation::Undecodable)
    }

    fn stop(&mut self, code: VarInt) {
        if let Some(reader) = &mut self.reader {
            reader.stop(code);
        }
    }

    fn trailers(&mut self, section: &Bytes) -> Result<Part, Closed> {
        let decoded = self.shared.sections.decode_trailers(section);
        let trailers = decoded.map_err(|unfit| self.unfit(unfit))?;
        self.end();
        Ok(Part::Trailers(trailers))
    }
}

impl Source for ResponseSource {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Closed>>> {
        let Some(reader) = &mut self.reader else {
            return Poll::Ready(None);
        };
        Poll::Ready(match ready!(reader.poll_event(cx)) {
            Ok(Some(Event::Data(data))) => Some(Ok(Part::Data(data))),
            Ok(Some(Event::Headers(section))) => Some(self.trailers(&section)),
            Ok(None) => None,
            Err(fault) => Some(Err(self.fault(fault))),
        })
    }

    fn is_drained(&self) -> bool {
        self.reader.as_ref().is_some_and(FrameReader::is_drained)
    }
}

impl Drop for ResponseSource {
    fn drop(&mut self) {
        self.forget();
        let Some(mut reader) = self.reader.take() else {
            return;
        };
        if !self.ended {
            reader.stop(codes::REQUEST_CANCELLED);
            return self.cell.cancel();
        }
        // The stream's end comes with the status, or close behind it.
        if let Some(linger) = Linger::begin(reader) {
            self.shared.add_job(Job::Linger(Box::new(linger)));
        }
    }
}
