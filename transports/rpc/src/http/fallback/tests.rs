//! On a paused clock, with ways that are made up.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ::http::{HeaderMap, HeaderValue, header::ALT_SVC};
use tokio::{sync::Notify, time::advance};

use super::*;
use crate::{
    channel::Unopened,
    transport::{Inbound, Outbound, RequestHeaders},
};

/// A server, as one of the ways reaches it. Clones are the same.
#[derive(Clone, Default)]
struct Way(Arc<State>);

#[derive(Default)]
struct State {
    works: AtomicBool,
    /// The ports that were dialled.
    dialled: Mutex<Vec<u16>>,
    /// How many of its connections were told to go.
    leaving: AtomicUsize,
    told: Notify,
}

impl Way {
    fn new(works: bool) -> Self {
        let way = Self::default();
        way.0.works.store(works, Ordering::SeqCst);
        way
    }

    fn dial(&self, address: &Address) {
        let mut dialled = self.0.dialled.lock().expect("no test panics with it");
        dialled.extend(port(address));
    }

    /// The ports that were dialled since the last time.
    fn dialled(&self) -> Vec<u16> {
        std::mem::take(&mut *self.0.dialled.lock().expect("no test panics with it"))
    }
}

#[async_trait]
impl Connector for Way {
    async fn connect(&self, address: &Address) -> Result<Box<dyn Connection>, Status> {
        self.dial(address);
        if self.0.works.load(Ordering::SeqCst) {
            return Ok(Box::new(self.clone()));
        }
        // As a network that drops datagrams.
        std::future::pending().await
    }
}

#[async_trait]
impl Connection for Way {
    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Unopened> {
        let status = Status::new(Code::Unavailable, "no test opens streams");
        Err(Unopened {
            status,
            headers,
            outbound,
        })
    }

    async fn closed(&self) -> Status {
        self.0.told.notified().await;
        Status::new(Code::Unavailable, "it was told to go")
    }

    fn begin_graceful_shutdown(&self) {
        self.0.leaving.fetch_add(1, Ordering::SeqCst);
        self.0.told.notify_one();
    }
}

const NOBODY: [u16; 0] = [];
const MINUTE: Duration = Duration::from_secs(60);

fn server() -> Address {
    Address::Socket(([127, 0, 0, 1], 443).into())
}

fn announcing(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(ALT_SVC, HeaderValue::from_static(value))])
}

/// Lets time pass in small steps, so that what wakes up in between runs.
async fn pass(time: Duration) {
    for _ in 0..time.as_secs() {
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn s4_85_a_way_that_fails_is_left_alone_for_longer_every_time() {
    let (first, second) = (Way::new(false), Way::new(true));
    let fallback = Fallback::new(first.clone(), second.clone(), FallbackConfig::default());
    for minutes in [5, 10, 20] {
        let began = Instant::now();
        assert!(fallback.connect(&server()).await.is_ok(), "by the second");
        assert_eq!(began.elapsed(), Duration::from_secs(1), "its patience");
        assert_eq!(first.dialled(), [443]);
        advance(MINUTE * minutes - Duration::from_millis(1)).await;
        let began = Instant::now();
        assert!(fallback.connect(&server()).await.is_ok(), "by the second");
        assert_eq!(began.elapsed(), Duration::ZERO, "{minutes} min: no wait");
        assert_eq!(first.dialled(), NOBODY, "{minutes} min: it is remembered");
        advance(Duration::from_millis(1)).await;
    }
    first.0.works.store(true, Ordering::SeqCst);
    second.dialled();
    assert!(fallback.connect(&server()).await.is_ok(), "by the first");
    assert_eq!((first.dialled(), second.dialled()), (vec![443], vec![]));
    first.0.works.store(false, Ordering::SeqCst);
    assert!(fallback.connect(&server()).await.is_ok(), "by the second");
    advance(MINUTE * 5).await;
    first.dialled();
    assert!(fallback.connect(&server()).await.is_ok(), "by the second");
    assert_eq!(first.dialled(), [443], "after a success it begins anew");
}

#[tokio::test(start_paused = true)]
async fn s4_85_what_is_remembered_has_a_bound() {
    let (first, second) = (Way::new(false), Way::new(true));
    let fallback = Fallback::new(first.clone(), second, FallbackConfig::default());
    for _ in 0..40 {
        assert!(fallback.connect(&server()).await.is_ok(), "by the second");
        assert_eq!(first.dialled(), [443], "a day is the longest");
        advance(MINUTE * 60 * 24).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s4_85_a_connection_moves_to_what_is_announced() {
    let (first, second) = (Way::new(false), Way::new(true));
    let alternatives = Alternatives::default();
    let fallback = Fallback::new(first.clone(), second.clone(), FallbackConfig::default())
        .following(alternatives.clone());
    let connection = fallback.connect(&server()).await;
    let connection = connection.unwrap_or_else(|status| panic!("{status}"));
    assert_eq!(first.dialled(), [443], "before anything is announced");
    first.0.works.store(true, Ordering::SeqCst);
    alternatives.announce(&announcing(r#"h3=":8443""#));
    pass(Duration::from_secs(1)).await;
    assert_eq!(
        first.dialled(),
        [8443],
        "another port is not the broken one"
    );
    assert_eq!(second.0.leaving.load(Ordering::SeqCst), 1);
    assert_eq!(first.0.leaving.load(Ordering::SeqCst), 0);
    let closed = timeout(MINUTE, connection.closed()).await;
    assert!(closed.is_err(), "it lives on as the better one");

    let again = fallback.connect(&server()).await;
    assert!(again.is_ok());
    assert_eq!(first.dialled(), [8443], "the next one begins there");
    alternatives.announce(&announcing("clear"));
    assert!(fallback.connect(&server()).await.is_ok());
    assert_eq!(first.dialled(), [443], "unless it was taken back");

    connection.begin_graceful_shutdown();
    assert_eq!(first.0.leaving.load(Ordering::SeqCst), 1);
    let closed = timeout(MINUTE, connection.closed()).await;
    assert!(closed.is_ok(), "both are gone");
}

#[tokio::test(start_paused = true)]
async fn s4_85_what_is_announced_and_does_not_work_is_tried_again_after_a_while() {
    let (first, second) = (Way::new(false), Way::new(true));
    let alternatives = Alternatives::default();
    let fallback = Fallback::new(first.clone(), second.clone(), FallbackConfig::default())
        .following(alternatives.clone());
    let connection = fallback.connect(&server()).await;
    alternatives.announce(&announcing(r#"h3=":443""#));
    pass(MINUTE * 4).await;
    assert_eq!(first.dialled(), [443], "only with the connection");
    pass(MINUTE * 2).await;
    assert_eq!(first.dialled(), [443], "once more after 5 min");
    pass(MINUTE * 9).await;
    assert_eq!(first.dialled(), NOBODY, "and not for the next 10");
    first.0.works.store(true, Ordering::SeqCst);
    pass(MINUTE * 2).await;
    assert_eq!(first.dialled(), [443], "then it works");
    assert_eq!(second.0.leaving.load(Ordering::SeqCst), 1, "it has moved");
    drop(connection);
}

#[tokio::test(start_paused = true)]
async fn s4_85_a_connection_that_is_dropped_looks_for_nothing() {
    let (first, second) = (Way::new(false), Way::new(true));
    let alternatives = Alternatives::default();
    let fallback = Fallback::new(first.clone(), second, FallbackConfig::default())
        .following(alternatives.clone());
    drop(fallback.connect(&server()).await);
    first.dialled();
    alternatives.announce(&announcing(r#"h3=":8443""#));
    pass(MINUTE).await;
    assert_eq!(first.dialled(), NOBODY);
}

#[tokio::test(start_paused = true)]
async fn s4_85_a_connection_that_has_ended_looks_for_nothing_while_its_streams_live() {
    let (first, second) = (Way::new(false), Way::new(true));
    let alternatives = Alternatives::default();
    let fallback = Fallback::new(first.clone(), second.clone(), FallbackConfig::default())
        .following(alternatives.clone());
    let connection = fallback.connect(&server()).await;
    let connection = connection.unwrap_or_else(|status| panic!("{status}"));
    first.dialled();
    second.0.told.notify_one();
    connection.closed().await;
    alternatives.announce(&announcing(r#"h3=":8443""#));
    pass(MINUTE).await;
    assert_eq!(
        first.dialled(),
        NOBODY,
        "the channel has another one by now"
    );
    drop(connection);
}
