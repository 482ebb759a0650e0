//! How a call is forwarded.

use std::pin::pin;

use headwater_rpc::{
    CallError, CallOptions, Client, IncomingCall, Metadata, Receiver, Router, SendError, Sender,
    Trailers,
};
use tokio::time::Instant;

/// What two neighbours agree on, and is no business of the next.
const OF_ONE_HOP: [&str; 2] = ["grpc-accept-encoding", "grpc-encoding"];

/// Has every call that no other route takes go to `client`.
pub(crate) fn serve_on(router: &Router, client: Client) {
    router.fallback(move |call| {
        let client = client.clone();
        async move { forward(&client, call).await }
    });
}

async fn forward(client: &Client, call: IncomingCall) {
    let IncomingCall {
        path,
        metadata,
        receiver: requests,
        sender: responses,
        cancellation,
        ..
    } = call;
    let deadline = cancellation.deadline();
    let options = CallOptions {
        timeout: deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
        ..CallOptions::default()
    };
    let trailers = tokio::select! {
        biased;
        // The caller has gone; what was opened is dropped, and so cancelled.
        () = responses.ended() => return,
        end = async {
            let (to, from) = client.call(path, for_next(metadata), options).await?;
            Ok(exchange(requests, to, from, &responses).await)
        } => end,
    };
    let Trailers { outcome, metadata } =
        trailers.unwrap_or_else(|error: CallError| Trailers::failed(error.status));
    // The caller may have gone meanwhile.
    let _ = responses.finish(outcome, for_next(metadata));
}

/// Both directions at once, until the server has said its status.
async fn exchange(
    mut requests: Receiver,
    to: Sender,
    mut from: Receiver,
    responses: &Sender,
) -> Trailers {
    let mut sending = pin!(async {
        if pump(&mut requests, &to).await.is_ok() {
            // An ended call says why where it is received.
            let _ = to.finish(Ok(()), Metadata::new());
        }
    });
    let mut receiving = pin!(async move {
        if let Some(headers) = from.headers().await {
            let _ = responses.send_headers(for_next(headers));
        }
        let _ = pump(&mut from, responses).await;
        let ended = from.ended().map(|ended| ended.trailers);
        // It has not: the caller takes nothing any more.
        ended.unwrap_or_else(Trailers::ok)
    });
    tokio::select! {
        trailers = &mut receiving => trailers,
        // The half-close is no end.
        () = &mut sending => receiving.await,
    }
}

/// Passes messages on to the end. No more is read than can be sent.
async fn pump(from: &mut Receiver, to: &Sender) -> Result<(), Stopped> {
    let mut batch = Vec::new();
    while from.next_batch(&mut batch).await? > 0 {
        for message in batch.drain(..) {
            to.send(message).await?;
        }
    }
    Ok(())
}

/// One of the two calls has ended; how is seen there.
struct Stopped;

impl From<CallError> for Stopped {
    fn from(_: CallError) -> Self {
        Self
    }
}

impl From<SendError> for Stopped {
    fn from(_: SendError) -> Self {
        Self
    }
}

fn for_next(mut metadata: Metadata) -> Metadata {
    for key in OF_ONE_HOP {
        metadata.remove(key);
    }
    metadata
}
