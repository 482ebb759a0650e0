//! What these cases share.

use std::time::Duration;

use bytes::Bytes;
use headwater_conformance::Fixture;
use headwater_rpc::{Code, Status};
use tokio::task::yield_now;

/// For what may come as early as it likes.
pub(crate) const SHORT: Duration = Duration::from_millis(30);

pub(crate) fn code<T: std::fmt::Debug>(outcome: &Result<T, Status>) -> Code {
    outcome.as_ref().expect_err("the call must fail").code
}

pub(crate) async fn none_open(pair: &Fixture) {
    while pair.server.open_calls() > 0 {
        yield_now().await;
    }
}

pub(crate) fn bytes(texts: &[&str]) -> Vec<Bytes> {
    let texts = texts.iter();
    texts.map(|text| Bytes::from((*text).to_owned())).collect()
}
