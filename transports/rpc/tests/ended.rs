//! A call that ends while its stream is being polled.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use headwater_rpc::{
    CallOptions, Client, ClientTransport, Closed, Code, Frame, Inbound, Metadata, Outbound,
    Received, RequestHeaders, Sender, Status,
};

/// What the test and the stream of its call know of each other.
#[derive(Default)]
struct Known {
    sender: OnceLock<Sender>,
    is_dropped: AtomicBool,
}

/// A stream whose call ends in its poll, as it may by a deadline or another thread, and which has something all the same.
struct EndsMeanwhile {
    known: Arc<Known>,
    brings: Frame,
}

impl Inbound for EndsMeanwhile {
    fn poll_received(
        &mut self,
        _: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        self.known.sender.get().expect("it is open").cancel();
        received.frames.push(self.brings.clone());
        Poll::Ready(Ok(()))
    }
}

impl Drop for EndsMeanwhile {
    fn drop(&mut self) {
        self.known.is_dropped.store(true, Ordering::Release);
    }
}

struct Transport {
    known: Arc<Known>,
    brings: Frame,
}

#[async_trait]
impl ClientTransport for Transport {
    async fn connect(&self) -> Result<(), Status> {
        std::future::pending().await
    }

    fn begin_graceful_shutdown(&self) {}

    async fn open(&self, _: RequestHeaders, _: Outbound) -> Result<Box<dyn Inbound>, Status> {
        Ok(Box::new(EndsMeanwhile {
            known: Arc::clone(&self.known),
            brings: self.brings.clone(),
        }))
    }
}

#[tokio::test]
async fn its_stream_is_dropped_though_both_halves_live() {
    for brings in [
        Frame::Headers(Metadata::new()),
        Frame::Compressed("packed".into()),
    ] {
        let known = Arc::<Known>::default();
        let client = Client::new(Transport {
            known: Arc::clone(&known),
            brings: brings.clone(),
        });
        let connecting = client.clone();
        tokio::spawn(async move { connecting.connect().await });
        let call = client.call("/t.T/Call", Metadata::new(), CallOptions::default());
        let (sender, mut receiver) = call.await.expect("it opens");
        assert!(known.sender.set(sender.clone()).is_ok(), "one call");
        let ended = receiver.next_batch(&mut Vec::new()).await;
        assert_eq!(ended.expect_err("cancelled").status.code, Code::Cancelled);
        assert!(
            known.is_dropped.load(Ordering::Acquire),
            "after {brings:?} the stream is still held"
        );
        drop((sender, receiver));
    }
}
