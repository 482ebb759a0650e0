//! Applications that register and never read what they are sent.

use headwater_proto::wps_rpc::{AckMessageRequest, EventFilter, RegisterMessage};
use headwater_rpc::Code;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tracing::Level;

use crate::{
    support::*,
    upstreams::{acked, echoed},
};

const MESSAGE_BYTES: usize = 1 << 19;
/// What the service holds for one upstream, and what is on its way to it.
const HELD_BYTES_MAX: usize = 80 << 20;

/// It answers what it never reads, so that no window of its own holds anything back: then the bound of the stream does.
#[tokio::test]
async fn an_application_that_never_reads_is_cut_and_the_log_says_so() {
    for over in Over::ALL {
        let (log, _guard) = Log::start(Level::WARN);
        let stage = Stage::start().await;
        let rpc = stage.rpc_client(over).await;
        let good = App::register(rpc.clone(), &token(&[]), registration()).await;
        let mut good = good.expect("registered, on the same connection");
        let mut other = good.admit(stage.knock("chat")).await;

        let wish = RegisterMessage {
            events: Some(EventFilter {
                messages: vec!["*".into()],
                ..EventFilter::default()
            }),
            window_events: u32::MAX,
            window_bytes: u64::MAX,
            hub: "stuck".into(),
            ..registration()
        };
        let mut stuck = App::register(rpc, &token(&[]), wish)
            .await
            .expect("registered");
        let mut client = stage.knock("stuck").enter().await;
        let message = json!({"type": "event", "event": "e", "dataType": "text", "data": "x".repeat(MESSAGE_BYTES)});
        let message = Message::text(message.to_string());
        let mut sent = 0;
        while stage.service.counts().1 == 2 {
            sent += 1;
            assert!(
                sent * MESSAGE_BYTES < HELD_BYTES_MAX,
                "what waits for an application is bounded"
            );
            client.send(message.clone()).await;
            client.ping().await;
            let ack = AckMessageRequest {
                connection_id: client.id.clone(),
                hub: "stuck".into(),
                ..AckMessageRequest::default()
            };
            // Once it is cut, it has no event to answer.
            let _ = stuck.call::<()>("ackMessage", ack).await;
        }
        let status = stuck.end().await.expect_err("cut");
        assert_eq!(status.code, Code::ResourceExhausted, "{status}");
        let log = log.text();
        let cut = log
            .lines()
            .filter(|line| line.contains("an upstream was cut"));
        let cut: Vec<_> = cut.collect();
        assert_eq!(cut.len(), 1, "once: {log}");
        for said in ["WARN", "hub=\"stuck\"", "the upstream reads too slowly"] {
            assert!(cut[0].contains(said), "{said:?}: {}", cut[0]);
        }

        // Neither its client is closed for it, nor does another hub hear of it.
        client.ping().await;
        other.event("say", "?", 1).await;
        let said = good.said().await;
        assert_eq!(good.reply(&said.connection_id, 0, "!").await, Ok(()));
        assert_eq!(other.json().await, echoed("!"));
        assert_eq!(other.json().await, acked(1));
        assert_eq!(stage.service.counts(), (2, 1));
    }
}
