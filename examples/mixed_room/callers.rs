//! zrpc callers: methods by name, whose messages are text.

use bytes::Bytes;
use headwater_rpc::{Code, IncomingCall, Metadata, Router, Status};
use tokio::sync::{broadcast, mpsc};

use crate::{
    devices::{next, say},
    generated::Line,
};

/// The methods of zrpc callers: `room.say`, whose blob is a line such as `ada: hello`, and `room.listen`, whose replies are
/// such lines.
#[derive(Clone)]
pub(crate) struct ZrpcRoom {
    said: mpsc::Sender<Line>,
    heard: broadcast::Sender<Line>,
}

impl ZrpcRoom {
    pub(crate) const fn new(said: mpsc::Sender<Line>, heard: broadcast::Sender<Line>) -> Self {
        Self { said, heard }
    }

    /// `room.say` in zrpc is `/room/say` on a router.
    pub(crate) fn add_to(self, router: &Router) {
        let room = self.clone();
        router.unary("/room/say", move |request| {
            let room = room.clone();
            async move { room.say(&request.message).await }
        });
        router.stream("/room/listen", move |call| self.clone().listen(call));
    }

    async fn say(&self, blob: &Bytes) -> Result<Bytes, Status> {
        let text = std::str::from_utf8(blob)
            .map_err(|_| Status::new(Code::InvalidArgument, "a line is UTF-8"))?;
        let (from, text) = text.split_once(": ").unwrap_or(("somebody", text));
        let line = Line {
            from: from.into(),
            text: text.into(),
        };
        say(&self.said, line).await?;
        Ok(Bytes::new())
    }

    async fn listen(self, call: IncomingCall) {
        let mut room = self.heard.subscribe();
        // Says that it listens, before anything is said.
        let mut reply = Bytes::new();
        while call.sender.send(reply).await.is_ok() {
            let line = tokio::select! {
                line = next(&mut room) => line,
                _ = call.cancellation.cancelled() => return,
            };
            match line {
                Ok(line) => reply = format!("{}: {}", line.from, line.text).into(),
                Err(status) => {
                    // Its caller may have gone.
                    let _ = call.sender.finish(Err(status), Metadata::new());
                    return;
                }
            }
        }
    }
}
