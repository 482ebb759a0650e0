//! What a client does for each method without being told at every call; the rules are the core's.

pub use headwater_core::policy::{
    Codes, ConfigError, ExecutionPolicy, HedgingPolicy, MethodConfig, RetryPolicy, RetryThrottling,
    ServiceConfig, attempts::RetryCounters,
};

use crate::client::CallOptions;

/// The options of a call with what is configured for its method: what they say counts, and of two timeouts the earlier.
pub(crate) fn apply(method: Option<&MethodConfig>, options: CallOptions) -> CallOptions {
    let Some(method) = method else {
        return options;
    };
    CallOptions {
        timeout: options.timeout.into_iter().chain(method.timeout).min(),
        wait_for_ready: options.wait_for_ready.or(method.wait_for_ready),
        send_message_bytes_max: options
            .send_message_bytes_max
            .or(method.request_message_bytes_max),
        receive_message_bytes_max: options
            .receive_message_bytes_max
            .or(method.response_message_bytes_max),
        execution: options.execution.or(method.execution),
        ..options
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hedging(attempts_max: u32) -> ExecutionPolicy {
        ExecutionPolicy::Hedging(HedgingPolicy {
            attempts_max,
            hedging_delay: Duration::ZERO,
            non_fatal_status_codes: Codes::NONE,
        })
    }

    /// S4-40: what the options say counts before the method's configuration, which counts before the defaults.
    #[test]
    fn s4_40_options_win_over_the_method_config() {
        let method = MethodConfig {
            timeout: None,
            wait_for_ready: Some(true),
            request_message_bytes_max: Some(10),
            response_message_bytes_max: Some(20),
            execution: Some(hedging(2)),
        };
        let set = CallOptions {
            wait_for_ready: Some(false),
            send_message_bytes_max: Some(1000),
            receive_message_bytes_max: Some(0),
            execution: Some(hedging(3)),
            ..CallOptions::default()
        };
        assert_eq!(apply(Some(&method), set.clone()), set);
        assert_eq!(apply(None, set.clone()), set);
        let configured = CallOptions {
            wait_for_ready: Some(true),
            send_message_bytes_max: Some(10),
            receive_message_bytes_max: Some(20),
            execution: Some(hedging(2)),
            ..CallOptions::default()
        };
        assert_eq!(apply(Some(&method), CallOptions::default()), configured);
    }

    /// S4-42: the earlier of the two timeouts applies.
    #[test]
    fn s4_42_the_earlier_timeout_applies() {
        let millis = |millis: Option<u64>| millis.map(Duration::from_millis);
        let cases = [
            (None, None, None),
            (None, Some(5), Some(5)),
            (Some(9), Some(5), Some(5)),
            (Some(2), Some(5), Some(2)),
            (Some(2), None, Some(2)),
        ];
        for (own, configured, expected) in cases {
            let method = MethodConfig {
                timeout: millis(configured),
                ..MethodConfig::default()
            };
            let options = CallOptions {
                timeout: millis(own),
                ..CallOptions::default()
            };
            let applied = apply(Some(&method), options).timeout;
            assert_eq!(applied, millis(expected), "{own:?} and {configured:?}");
        }
    }
}
