//! A transport within the process that gets one thing wrong, to show that the comparison of traces sees it.

use std::{
    future::{pending, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_rpc::{
    AcceptedStream, Acceptor, Client, ClientTransport, Closed, Code, Frame, Inbound, Metadata,
    Outbound, Peer, Pulled, Received, RequestHeaders, Router, Server, ServerTransport, Status,
    Trailers,
};
use tokio::sync::watch;

use crate::{
    Transport,
    transport::{Ends, Pair},
};

/// What the transport gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The request's metadata of binary keys do not arrive.
    BinaryMetadata,
    /// The requests' end does not arrive.
    HalfClose,
    /// The responses' first message arrives twice.
    Duplicate,
    /// The client is given headers that were never sent, before a status without any.
    TrailersOnly,
    /// The responses' first message does not arrive.
    Loss,
    /// The trailing metadata do not arrive.
    TrailingMetadata,
    /// One status arrives as another.
    Status,
    /// A status arrives without its details.
    Details,
    /// A reset by the client is taken for the end of the requests.
    Cancel,
    /// A response arrives as if it had not been compressed.
    Compressed,
}

/// A transport for each fault, [`Fault::None`] first.
pub static FAULTY: &[(Fault, Transport)] = &[
    (Fault::None, faulty(|router| pair(router, Fault::None))),
    (
        Fault::BinaryMetadata,
        faulty(|router| pair(router, Fault::BinaryMetadata)),
    ),
    (
        Fault::HalfClose,
        faulty(|router| pair(router, Fault::HalfClose)),
    ),
    (
        Fault::Duplicate,
        faulty(|router| pair(router, Fault::Duplicate)),
    ),
    (
        Fault::TrailersOnly,
        faulty(|router| pair(router, Fault::TrailersOnly)),
    ),
    (Fault::Loss, faulty(|router| pair(router, Fault::Loss))),
    (
        Fault::TrailingMetadata,
        faulty(|router| pair(router, Fault::TrailingMetadata)),
    ),
    (Fault::Status, faulty(|router| pair(router, Fault::Status))),
    (
        Fault::Details,
        faulty(|router| pair(router, Fault::Details)),
    ),
    (Fault::Cancel, faulty(|router| pair(router, Fault::Cancel))),
    (
        Fault::Compressed,
        faulty(|router| pair(router, Fault::Compressed)),
    ),
];

const fn faulty(ends: Ends) -> Transport {
    Transport {
        name: "faulty",
        ends,
        peer_kind: "in-process",
        certificates: 0,
        stopped: Code::FailedPrecondition,
    }
}

fn pair(router: Router, fault: Fault) -> Pin<Box<dyn Future<Output = Pair>>> {
    let acceptor = Arc::new(watch::Sender::new(None));
    let client = FaultyClient {
        acceptor: Arc::clone(&acceptor),
        fault,
    };
    let client = Client::builder(client);
    let server = Server::builder(FaultyServer(acceptor), router);
    Box::pin(ready((client, server, None)))
}

/// Where the client finds the server.
type Listener = Arc<watch::Sender<Option<Acceptor>>>;

struct FaultyClient {
    acceptor: Listener,
    fault: Fault,
}

/// It listens until it is dropped.
struct FaultyServer(Listener);

#[async_trait]
impl ClientTransport for FaultyClient {
    async fn connect(&self) -> Result<(), Status> {
        pending().await
    }

    fn begin_graceful_shutdown(&self) {}

    async fn open(
        &self,
        mut headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        let mut listener = self.acceptor.subscribe();
        let acceptor = listener.wait_for(Option::is_some).await;
        let acceptor = acceptor.ok().and_then(|acceptor| acceptor.clone());
        let acceptor = acceptor.expect("the sender is part of this");
        if self.fault == Fault::BinaryMetadata {
            drop_binary(&mut headers.metadata);
        }
        let requests = Box::new(Pipe::new(outbound, self.fault, false));
        let peer = Peer::new("in-process:0", "in-process:0");
        let responses = acceptor.accept(AcceptedStream::new(headers, peer, requests));
        Ok(Box::new(Pipe::new(responses, self.fault, true)))
    }
}

#[async_trait]
impl ServerTransport for FaultyServer {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        self.0.send_replace(Some(acceptor));
        pending().await
    }

    fn begin_graceful_shutdown(&self) {}
}

/// What one side sends is what the other receives, but for the fault.
struct Pipe {
    /// Until this is dropped.
    outbound: Option<Outbound>,
    fault: Fault,
    carries_responses: bool,
    /// Whether a frame, and whether a message, has passed.
    began: bool,
    had_message: bool,
}

impl Pipe {
    const fn new(outbound: Outbound, fault: Fault, carries_responses: bool) -> Self {
        Self {
            outbound: Some(outbound),
            fault,
            carries_responses,
            began: false,
            had_message: false,
        }
    }

    /// Passes a frame on: as it is, changed, twice, or not at all.
    fn pass(&mut self, frame: Frame, frames: &mut Vec<Frame>) {
        let is_first = !std::mem::replace(&mut self.began, true);
        let is_message = matches!(frame, Frame::Message(_));
        let is_first_message = is_message && !std::mem::replace(&mut self.had_message, true);
        match (self.fault, self.carries_responses, frame) {
            (Fault::HalfClose, false, Frame::End(_)) => {}
            (Fault::Loss, true, Frame::Message(_)) if is_first_message => {}
            (Fault::Duplicate, true, frame) if is_first_message => {
                frames.extend([frame.clone(), frame]);
            }
            (Fault::Compressed, true, Frame::Compressed(bytes)) => {
                frames.push(Frame::Message(bytes));
            }
            (Fault::TrailersOnly, true, end @ Frame::End(_)) if is_first => {
                frames.extend([Frame::Headers(Metadata::new()), end]);
            }
            (fault, true, Frame::End(mut trailers)) => {
                match (fault, &mut trailers.outcome) {
                    (Fault::TrailingMetadata, _) => trailers.metadata = Metadata::new(),
                    (Fault::Status, Err(status)) => status.code = Code::Unknown,
                    (Fault::Details, Err(status)) => status.details = Bytes::new(),
                    _ => {}
                }
                frames.push(Frame::End(trailers));
            }
            (_, _, frame) => frames.push(frame),
        }
    }
}

impl Inbound for Pipe {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let Some(mut outbound) = self.outbound.take() else {
            return Poll::Pending;
        };
        let polled = self.pull(&mut outbound, cx, &mut received.frames);
        self.outbound = Some(outbound);
        polled
    }
}

impl Pipe {
    fn pull(
        &mut self,
        outbound: &mut Outbound,
        cx: &mut Context<'_>,
        frames: &mut Vec<Frame>,
    ) -> Poll<Result<(), Closed>> {
        let before = frames.len();
        while frames.len() == before {
            let mut pulled = Vec::new();
            match ready!(outbound.poll_frames(cx, &mut pulled)) {
                Pulled::Frames => {}
                Pulled::Reset(_) if self.fault == Fault::Cancel && !self.carries_responses => {
                    frames.push(Frame::end(Trailers::ok()));
                }
                Pulled::Reset(code) => return Poll::Ready(Err(Closed::cancelled(code))),
                // The end was lost.
                Pulled::Done => return Poll::Pending,
            }
            for frame in pulled {
                self.pass(frame, frames);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    /// Dropping what the server sends tells it of a cancel as well.
    fn drop(&mut self) {
        if self.fault == Fault::Cancel && self.carries_responses {
            std::mem::forget(self.outbound.take());
        }
    }
}

fn drop_binary(metadata: &mut Metadata) {
    let keys: Vec<_> = metadata.iter().map(|(key, _)| key.to_owned()).collect();
    for key in keys.iter().filter(|key| key.ends_with("-bin")) {
        metadata.remove(key);
    }
}
