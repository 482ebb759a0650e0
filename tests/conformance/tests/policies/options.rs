//! What a call's options and its method's configuration say.

use headwater_conformance::control::ECHO;
use headwater_http2::{Http2Client, Http2ClientConfig};
use headwater_rpc::{Client, SendError};

use super::*;

fn with(execution: ExecutionPolicy) -> CallOptions {
    CallOptions {
        execution: Some(execution),
        ..CallOptions::default()
    }
}

/// S4-40: the options' policy wins over the method's, and is enough where that has none.
#[test]
fn s4_40_the_options_policy_wins() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, retry(2)).await;
        let outcome = case.run_with(unavailable(9), with(retry(3))).await;
        assert_eq!((outcome, case.attempts()), (Err(Code::Unavailable), 3));
        assert_eq!(case.run(unavailable(9)).await, Err(Code::Unavailable));
        assert_eq!(case.attempts(), 2);
        let case = Case::new(transport).await;
        assert_eq!(case.run(unavailable(9)).await, Err(Code::Unavailable));
        assert_eq!(case.attempts(), 1, "no policy");
        let outcome = case.run_with(unavailable(1), with(retry(3))).await;
        assert_eq!((outcome, case.attempts()), (answered(), 2));
    });
}

/// S4-42: the deadline covers all attempts together, whatever the policy would still do.
#[test]
fn s4_42_the_deadline_covers_all_attempts() {
    for_each_transport_on_virtual_time(|transport| async move {
        for policy in [retry(5), hedging(5, 20)] {
            let case = Case::with_policy(transport, policy).await;
            let options = CallOptions {
                timeout: Some(ms(100)),
                ..CallOptions::default()
            };
            let begun = Instant::now();
            let mut replies = unavailable(1);
            replies.extend(vec![Reply::Hang; 9]);
            let outcome = case.run_with(replies, options).await;
            assert_eq!(outcome, Err(Code::DeadlineExceeded));
            let took = begun.elapsed();
            assert!(took >= ms(100), "{took:?}");
            assert!(!case.exact || took == ms(100), "{took:?}");
            case.flaky
                .until(|seen| seen.iter().skip(1).all(|seen| seen.cancelled))
                .await;
        }
    });
}

/// S4-42: of the options' and the method's timeout the earlier holds.
#[test]
fn s4_42_the_earlier_timeout_holds() {
    for_each_transport_on_virtual_time(|transport| async move {
        let mut config = ServiceConfig::default();
        let method = MethodConfig {
            timeout: Some(ms(40)),
            ..MethodConfig::default()
        };
        config.methods.insert(FLAKY.into(), method);
        let case = Case::with_config(transport, config).await;
        for (own, earlier) in [(None, 40), (Some(ms(20)), 20), (Some(ms(5000)), 40)] {
            let options = CallOptions {
                timeout: own,
                ..CallOptions::default()
            };
            let begun = Instant::now();
            let outcome = case.run_with([Reply::Hang], options).await;
            assert_eq!(outcome, Err(Code::DeadlineExceeded), "{own:?}");
            let took = begun.elapsed();
            assert!(!case.exact || took == ms(earlier), "{own:?}: {took:?}");
        }
    });
}

/// S4-43: a limit of 0 lets only empty messages through, each way.
#[test]
fn s4_43_a_limit_of_zero_lets_only_empty_messages_through() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::new(transport).await;
        let client = &case.pair.client;
        let empty = CallOptions {
            send_message_bytes_max: Some(0),
            ..CallOptions::default()
        };
        let answer = client.unary(ECHO, Metadata::new(), Bytes::new(), empty.clone());
        assert_eq!(answer.await, Ok(Bytes::new()));
        let call = client.call(ECHO, Metadata::new(), empty).await;
        let (sender, _receiver) = call.expect("it opens");
        let refused = sender.try_send(Bytes::from_static(b"x"));
        assert_eq!(refused, Err(SendError::TooLarge));
        let empty = CallOptions {
            receive_message_bytes_max: Some(0),
            ..CallOptions::default()
        };
        let answer = client.unary(ECHO, Metadata::new(), Bytes::new(), empty.clone());
        assert_eq!(answer.await, Ok(Bytes::new()));
        let request = Bytes::from_static(b"x");
        let answer = client.unary(ECHO, Metadata::new(), request, empty).await;
        let code = answer.map_err(|status| status.code);
        assert_eq!(code, Err(Code::ResourceExhausted));
    });
}

/// S4-44: without `wait_for_ready` a call fails at once while no connection can be made.
#[tokio::test]
async fn s4_44_a_call_without_a_connection_fails_at_once() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = unused.local_addr().expect("it is bound");
    drop(unused);
    let transport = Http2Client::new(&format!("http://{addr}"), &Http2ClientConfig::default());
    let client = Client::new(transport.expect("a valid url"));
    let connecting = client.clone();
    let running = tokio::spawn(async move { connecting.connect().await });
    let options = CallOptions {
        wait_for_ready: Some(false),
        ..CallOptions::default()
    };
    let answer = client.unary(ECHO, Metadata::new(), Bytes::new(), options);
    let outcome = answer.await.map_err(|status| status.code);
    assert_eq!(outcome, Err(Code::Unavailable));
    running.abort();
}

/// S4-57: a new configuration holds for the next call, and not for one that runs.
#[test]
fn s4_57_a_new_config_holds_for_new_calls() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, retry(2)).await;
        case.flaky.reply([Reply::Hang]);
        let (_sender, running) = case.pair.call(FLAKY).await;
        case.flaky.until(|seen| seen.len() == 1).await;
        let mut config = executing(retry(3));
        if let Some(method) = config.methods.get_mut(FLAKY) {
            method.timeout = Some(ms(300));
        }
        case.pair.client.set_service_config(config);
        let outcome = case.run([Reply::Hang]).await;
        assert_eq!(outcome, Err(Code::DeadlineExceeded), "the new timeout");
        assert_eq!(running.ended(), None, "the old call has none");
        let pushed = vec![Reply::PushBack(Code::Unavailable, "0"); 9];
        let before = case.pair.client.retry_counters().retries;
        assert_eq!(case.run(pushed).await, Err(Code::Unavailable));
        let retries = case.pair.client.retry_counters().retries - before;
        assert_eq!(retries, 2, "the new policy");
    });
}

/// S4-57: the tokens outlast a change of anything but the throttling itself.
#[test]
fn s4_57_a_new_config_keeps_the_tokens() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_config(transport, throttled(retry(2), 2, 1)).await;
        assert_eq!(case.run(unavailable(1)).await, Err(Code::Unavailable));
        let client = &case.pair.client;
        client.set_service_config(throttled(retry(3), 2, 1));
        assert_eq!(case.run(unavailable(1)).await, Err(Code::Unavailable));
        client.set_service_config(throttled(retry(3), 100, 1));
        assert_eq!(case.run(unavailable(1)).await, answered());
    });
}
