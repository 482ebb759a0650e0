//! Tokens and keys are never in the log.

use headwater_upstream::{Handler, v1};
use tracing::Level;

use crate::support::*;

struct Quiet;

impl Handler for Quiet {}

// One thread, so that the subscriber of this test sees all of it.
#[tokio::test]
async fn no_token_and_no_key_is_ever_logged() {
    let (log, _guard) = Log::start(Level::TRACE);
    let stage = Stage::start().await;
    let upstream_token = token(&[]);
    let bad_upstream_token = token_by(&foreign_key(), &[]);
    let mut refused = Link::open(stage.service.connect_in_process(), &bad_upstream_token).await;
    refused.end().await.expect_err("refused");
    let mut link = stage.link_over_http2().await;
    let registered = link.register(register()).await;
    link.say(v1::upstream_frame::Frame::Authenticate(v1::Authenticate {
        token: upstream_token.clone(),
    }));
    drop(link);
    let _sdk = stage.upstream(Quiet).await;
    let knock = stage.knock("chat");
    let good = knock.good_token();
    let bad = knock.token_by(&foreign_key());
    let client = knock.clone().token(good.clone()).enter().await;
    let mut second = knock.clone();
    second.token = Some(bad.clone());
    second.try_enter().await.expect_err("refused");
    client.leave().await;
    assert!(stage.service.drain(FAR).await);

    let log = log.text();
    let why = "the signature of the token fits no access key";
    let refusals = log.lines().filter(|line| line.contains(why)).count();
    assert_eq!(
        refusals, 2,
        "each forged token is logged as what it is: {log}"
    );
    let signature = |token: &str| token.rsplit('.').next().unwrap_or_default()[..20].to_owned();
    let resume = String::from_utf8(registered.resume_token.to_vec()).expect("text");
    for secret in [
        KEY,
        &good,
        &signature(&good),
        &bad,
        &signature(&bad),
        &bad_upstream_token,
        &signature(&bad_upstream_token),
        &upstream_token,
        &signature(&upstream_token),
        &resume,
    ] {
        assert!(
            !secret.is_empty() && !log.contains(secret),
            "{secret} is in the log:\n{log}"
        );
    }
    // Neither in what people print.
    let shown = format!("{:?} {:?}", stage.service, config());
    assert!(!shown.contains(KEY), "{shown}");
}
