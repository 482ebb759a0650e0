//! The sections of a server.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt as _;
use h3::{frame::FrameStream, proto::frame::Frame, server::RequestStream, stream::BufRecvStream};
use headwater_rpc::{
    Metadata, Trailers,
    http::{headers, response},
};
use http::{Request, Response};

use super::{Memo, Memory, Unfit, Unsent, check_fields, lock, scan, unfit};
use crate::quic::Quic;

/// `POST https://x/`, as a client might encode it.
const ANY_REQUEST: &[u8] = &[0, 0, 0xd4, 0xd7, 0xc1, 0x50, 1, b'x'];

type Connection = h3::server::Connection<Quic, Bytes>;

/// Decodes requests and encodes responses.
#[derive(Clone)]
pub(crate) struct ServerSections(Arc<Inner>);

struct Inner {
    connection: Arc<Mutex<Connection>>,
    section_bytes_max: u64,
    /// A request that was never sent, to which all responses are made.
    writer: Mutex<Option<Writer>>,
    /// The frames of responses that began with these metadata, and of successes that ended with them.
    begun: Memo<Metadata, Bytes>,
    ended: Memo<Metadata, Bytes>,
}

struct Writer {
    stream: RequestStream<Memory, Bytes>,
    memory: Memory,
}

impl ServerSections {
    pub(crate) fn new(connection: Arc<Mutex<Connection>>, section_bytes_max: u64) -> Self {
        Self(Arc::new(Inner {
            connection,
            section_bytes_max,
            writer: Mutex::new(None),
            begun: Memo::default(),
            ended: Memo::default(),
        }))
    }

    /// What a client asks for.
    pub(crate) fn decode_request(&self, section: &Bytes) -> Result<Request<()>, Unfit> {
        scan::check(section, self.0.section_bytes_max, true)?;
        let (request, _) = self.resolve(section.clone())?;
        check_fields(request.headers())?;
        Ok(request)
    }

    fn resolve(&self, section: Bytes) -> Result<(Request<()>, Writer), Unfit> {
        let memory = Memory::default();
        let frames = FrameStream::new(BufRecvStream::new(memory.clone()));
        let resolver = lock(&self.0.connection).create_resolver(frames);
        let resolved = resolver.accept_with_frame(Ok(Some(Frame::Headers(section))));
        let resolved = resolved.map_err(|error| unfit(&error))?;
        // Memory is always ready.
        let resolved = resolved
            .resolve()
            .now_or_never()
            .ok_or(Unfit::Undecodable)?;
        let (request, stream) = resolved.map_err(|error| unfit(&error))?;
        Ok((request, Writer { stream, memory }))
    }

    /// The frame that the responses of a call begin with.
    pub(crate) fn encode_headers(&self, metadata: &Metadata) -> Result<Bytes, Unsent> {
        if let Some(frame) = self.0.begun.get(metadata) {
            return Ok(frame);
        }
        let frame = self.encode_response(response::with_metadata(metadata))?;
        let begun = &self.0.begun;
        begun.insert(metadata.clone(), frame.clone(), frame.len());
        Ok(frame)
    }

    /// The frame that a response begins with.
    pub(crate) fn encode_response(&self, response: Response<()>) -> Result<Bytes, Unsent> {
        self.write(|writer| writer.stream.send_response(response).now_or_never())
    }

    /// The frame that the responses of a call end with.
    pub(crate) fn encode_trailers(&self, trailers: &Trailers) -> Result<Bytes, Unsent> {
        let success = trailers.outcome.is_ok();
        let known = success.then(|| self.0.ended.get(&trailers.metadata));
        if let Some(frame) = known.flatten() {
            return Ok(frame);
        }
        let fields = headers::from_trailers(trailers);
        let frame = self.write(|writer| writer.stream.send_trailers(fields).now_or_never())?;
        if success {
            let ended = &self.0.ended;
            ended.insert(trailers.metadata.clone(), frame.clone(), frame.len());
        }
        Ok(frame)
    }

    fn write(
        &self,
        write: impl FnOnce(&mut Writer) -> Option<Result<(), h3::error::StreamError>>,
    ) -> Result<Bytes, Unsent> {
        let mut slot = lock(&self.0.writer);
        if slot.is_none() {
            let (_, writer) = self
                .resolve(Bytes::from_static(ANY_REQUEST))
                .map_err(|_| Unsent::Impossible)?;
            *slot = Some(writer);
        }
        let writer = slot.as_mut().ok_or(Unsent::Impossible)?;
        match write(writer) {
            Some(Ok(())) => Ok(writer.memory.take_outgoing()),
            Some(Err(error)) => Err(Unsent::of(&error)),
            None => Err(Unsent::Impossible),
        }
    }
}
