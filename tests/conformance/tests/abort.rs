//! A handler that gives up on its client: nothing waits for a client that takes nothing.

use std::sync::Arc;

use bytes::Bytes;
use headwater_conformance::{
    Fixture,
    control::{ECHO, read},
    for_each_transport,
};
use headwater_rpc::{Code, Credit, ServerConfig, Status};
use tokio::sync::Notify;

/// A method whose client does not read.
const PUSH: &str = "/headwater.test.Abort/Push";

/// Messages that share their bytes; how many there are is how often those are referred to.
#[derive(Clone)]
struct Chunk(Arc<[u8]>);

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// S4-77: a handler that gives up on a client that does not read leaves nothing behind that waits for that client.
#[test]
fn s4_77_what_nobody_took_of_an_aborted_call_is_thrown_away() {
    for_each_transport(|transport| async move {
        let config = ServerConfig {
            send_window: Credit {
                messages: 1000,
                bytes: 64 << 20,
            },
            ..ServerConfig::default()
        };
        let pair = Fixture::with_config(transport, config).await;
        let chunk = Chunk(vec![0; 16 << 10].into());
        let (blocked, wait) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (sent, is_blocked, go_on) = (chunk.clone(), Arc::clone(&blocked), Arc::clone(&wait));
        pair.router.stream(PUSH, move |call| {
            let (sent, is_blocked, go_on) =
                (sent.clone(), Arc::clone(&is_blocked), Arc::clone(&go_on));
            async move {
                while call
                    .sender
                    .try_send(Bytes::from_owner(sent.clone()))
                    .is_ok()
                {}
                is_blocked.notify_one();
                go_on.notified().await;
                let status = Status::new(Code::ResourceExhausted, "nobody reads this");
                call.sender.abort(status);
            }
        });
        let (_sender, mut receiver) = pair.call(PUSH).await;
        blocked.notified().await;
        settle(&pair).await;
        let held = Arc::strong_count(&chunk.0);
        assert!(held > 500, "the window was full: {held}");
        wait.notify_one();
        settle(&pair).await;
        // What the two ends hold on their way: of HTTP/2, a window of 256 KiB and some buffers.
        let held = Arc::strong_count(&chunk.0);
        assert!(
            held < 128,
            "{held} messages are kept for a client that does not read"
        );
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!(
            outcome.map_err(|status| status.code),
            Err(Code::ResourceExhausted)
        );
        assert!(
            messages.len() < 128,
            "{} messages still came",
            messages.len()
        );
    });
}

/// Returns when whatever was under way on the connection has arrived: calls that began after it have been answered.
async fn settle(pair: &Fixture) {
    for _ in 0..20 {
        pair.unary(ECHO, "x").await.expect("other calls go on");
    }
}
