//! What is sent is sent again, within bounds.

use headwater_conformance::control::{done, read};
use headwater_rpc::SendError;
use tokio::task::yield_now;

use super::*;

/// What was sent before a failure is sent again, and what is sent after it follows, in order.
#[test]
fn a_stream_is_replayed_in_order() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, retry(3)).await;
        case.flaky.reply([
            Reply::ReadAndFail(Code::Unavailable),
            Reply::Fail(Code::Unavailable),
        ]);
        let (sender, mut receiver) = case.pair.call(FLAKY).await;
        let messages: Vec<_> = (0..200_u32)
            .map(|number| Bytes::from(number.to_string()))
            .collect();
        for message in &messages {
            sender.send(message.clone()).await.expect("it is open");
        }
        done(&sender);
        let (echoed, outcome) = read(&mut receiver).await;
        assert_eq!(outcome, Ok(()));
        assert!(echoed == messages, "every message once, in order");
        assert_eq!(case.attempts(), 3);
    });
}

/// A stream goes on both ways once it is committed.
#[test]
fn a_stream_converses_after_it_was_retried() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, retry(3)).await;
        case.flaky.reply(unavailable(1));
        let (sender, mut receiver) = case.pair.call(FLAKY).await;
        for number in 0..100_u32 {
            let message = Bytes::from(number.to_string());
            sender.send(message.clone()).await.expect("it is open");
            let mut batch = Vec::new();
            let count = receiver.next_batch(&mut batch).await;
            assert_eq!(count, Ok(1), "{number}");
            assert_eq!(batch, [message]);
        }
        done(&sender);
        assert_eq!(read(&mut receiver).await, (vec![], Ok(())));
    });
}

/// S4-55: more than 1 KiB commits the call, and its failure is the application's; less is retried. The bound is the
/// call's, the client's for each call, or the client's for all of them.
#[test]
fn s4_55_a_call_that_sends_much_is_committed() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, retry(3)).await;
        let small = CallOptions {
            retry_buffer_bytes_max: Some(1024),
            ..CallOptions::default()
        };
        let each = RetryConfig {
            call_buffer_bytes_max: 1024,
            ..RetryConfig::default()
        };
        let all = RetryConfig {
            channel_buffer_bytes_max: 1024,
            ..RetryConfig::default()
        };
        let bounds = [
            (RetryConfig::default(), small),
            (each, CallOptions::default()),
            (all, CallOptions::default()),
        ];
        for (config, options) in bounds {
            case.pair.client.set_retry_config(config);
            for (bytes, outcome, attempts) in [(900, Ok(()), 2), (1100, Err(Code::Unavailable), 1)]
            {
                let before = case.pair.client.retry_counters().buffer_full;
                case.flaky.reply([Reply::ReadAndFail(Code::Unavailable)]);
                let call = case
                    .pair
                    .client
                    .call(FLAKY, Metadata::new(), options.clone());
                let (sender, mut receiver) = call.await.expect("it opens");
                let message = Bytes::from(vec![b'm'; bytes]);
                sender.send(message).await.expect("it is open");
                done(&sender);
                let ended = read(&mut receiver).await.1.map_err(|status| status.code);
                assert_eq!(ended, outcome, "{bytes}");
                assert_eq!(case.attempts(), attempts, "{bytes}");
                let full = case.pair.client.retry_counters().buffer_full - before;
                assert_eq!(full, u64::from(attempts == 1), "{bytes}");
            }
        }
    });
}

/// S4-55: a hedged call that sends too much goes on with one attempt, and the others are cancelled.
#[test]
fn s4_55_a_full_buffer_ends_the_other_hedges() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, hedging(3, 0)).await;
        case.flaky.reply(vec![Reply::Echo; 3]);
        let options = CallOptions {
            retry_buffer_bytes_max: Some(1024),
            ..CallOptions::default()
        };
        let call = case.pair.client.call(FLAKY, Metadata::new(), options);
        let (sender, mut receiver) = call.await.expect("it opens");
        case.flaky.until(|seen| seen.len() == 3).await;
        let message = Bytes::from(vec![b'm'; 2000]);
        sender.send(message.clone()).await.expect("it is open");
        done(&sender);
        let (echoed, outcome) = read(&mut receiver).await;
        assert_eq!((echoed, outcome), (vec![message], Ok(())));
    });
}

/// An application that is not read from is held back, with a policy as without one.
#[test]
fn the_application_is_held_back_while_nobody_reads() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, retry(3)).await;
        case.flaky.reply([Reply::Hang]);
        let (sender, _receiver) = case.pair.call(FLAKY).await;
        let message = Bytes::from(vec![b'm'; 10_000]);
        let mut taken = 0;
        let mut blocked = 0;
        while blocked < 200 {
            match sender.try_send(message.clone()) {
                Ok(()) => (taken, blocked) = (taken + message.len(), 0),
                Err(SendError::Blocked) => blocked += 1,
                Err(error) => panic!("{error}"),
            }
            yield_now().await;
        }
        assert!(taken < 2 << 20, "{taken} bytes were taken and not read");
    });
}
