//! The sections of a client.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use h3::{
    SharedState,
    client::{RequestStream, SendRequest},
    connection,
    frame::FrameStream,
    stream::BufRecvStream,
};
use http::{HeaderMap, Request, Response, Uri};

use super::{Memo, Memory, Unfit, Unsent, check_fields, framed, lock, scan, unfit};
use crate::quic::Opener;

/// Encodes requests and decodes responses.
#[derive(Clone)]
pub(crate) struct ClientSections(Arc<Inner>);

struct Inner {
    requests: Mutex<SendRequest<Opener, Bytes>>,
    /// The memory that `h3` was handed last.
    last: Arc<Mutex<Memory>>,
    /// A request that was never sent, to which all responses come.
    reader: Mutex<Option<Reader>>,
    shared: Arc<SharedState>,
    section_bytes_max: u64,
    trailers: Memo<Bytes, HeaderMap>,
}

struct Reader {
    stream: RequestStream<Memory, Bytes>,
    memory: Memory,
}

impl ClientSections {
    pub(crate) fn new(
        mut requests: SendRequest<Opener, Bytes>,
        last: Arc<Mutex<Memory>>,
        shared: Arc<SharedState>,
        section_bytes_max: u64,
    ) -> Self {
        let mut any = Request::new(());
        *any.uri_mut() = Uri::from_static("https://x/");
        // Memory is always ready.
        let opened = requests.send_request(any).now_or_never();
        let memory = lock(&last).clone();
        memory.take_outgoing();
        let reader = opened.and_then(Result::ok);
        Self(Arc::new(Inner {
            requests: Mutex::new(requests),
            last,
            reader: Mutex::new(reader.map(|stream| Reader { stream, memory })),
            shared,
            section_bytes_max,
            trailers: Memo::default(),
        }))
    }

    /// The frame that a request begins with.
    pub(crate) fn encode_request(&self, request: Request<()>) -> Result<Bytes, Unsent> {
        let mut requests = lock(&self.0.requests);
        match requests.send_request(request).now_or_never() {
            Some(Ok(_)) => Ok(lock(&self.0.last).take_outgoing()),
            Some(Err(error)) => Err(Unsent::of(&error)),
            None => Err(Unsent::Impossible),
        }
    }

    /// What a server answers.
    pub(crate) fn decode_response(&self, section: &[u8]) -> Result<Response<()>, Unfit> {
        scan::check(section, self.0.section_bytes_max, true)?;
        let mut reader = lock(&self.0.reader);
        let reader = reader.as_mut().ok_or(Unfit::Undecodable)?;
        reader.memory.set_incoming(framed(section));
        let response = reader.stream.recv_response().now_or_never();
        let response = response.ok_or(Unfit::Undecodable)?;
        let response = response.map_err(|error| unfit(&error))?;
        check_fields(response.headers())?;
        Ok(response)
    }

    /// How a server ends an answer.
    pub(crate) fn decode_trailers(&self, section: &Bytes) -> Result<HeaderMap, Unfit> {
        if let Some(trailers) = self.0.trailers.get(section) {
            return Ok(trailers);
        }
        let trailers = self.read_trailers(section)?;
        let memo = &self.0.trailers;
        memo.insert(section.clone(), trailers.clone(), section.len());
        Ok(trailers)
    }

    fn read_trailers(&self, section: &[u8]) -> Result<HeaderMap, Unfit> {
        scan::check(section, self.0.section_bytes_max, false)?;
        let memory = Memory::default();
        memory.set_incoming(framed(section));
        let frames = FrameStream::<_, Bytes>::new(BufRecvStream::new(memory));
        let mut stream = connection::RequestStream::new(
            frames,
            self.0.section_bytes_max,
            Arc::clone(&self.0.shared),
            false,
        );
        // Memory is always ready, so nobody waits to be woken.
        match stream.poll_recv_trailers(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Some(trailers))) => Ok(trailers),
            Poll::Ready(Ok(None)) | Poll::Pending => Err(Unfit::Undecodable),
            Poll::Ready(Err(error)) => Err(unfit(&error)),
        }
    }
}
