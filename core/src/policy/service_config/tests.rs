//! Good and bad texts.

use alloc::{
    format,
    string::{String, ToString},
};
use core::time::Duration;

use headwater_proto::Code;

use super::*;
use crate::policy::{Codes, HedgingPolicy, RetryPolicy};

const WHOLE: &str = r#"{
    "loadBalancingConfig": [{"grpclb": {"x": 1}}, {"round_robin": {}}, {"pick_first": {}}],
    "methodConfig": [
        {"name": [{}], "timeout": "1.5s"},
        {"name": [{"service": "a.B"}, {"service": "a.C", "method": null}], "waitForReady": true,
         "maxRequestMessageBytes": 0, "maxResponseMessageBytes": "1000"},
        {"name": [{"service": "a.B", "method": "D"}],
         "retryPolicy": {"maxAttempts": 10, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 1.6,
                         "retryableStatusCodes": ["unavailable", "ABORTED", 8]}},
        {"name": [{"service": "a.B", "method": "E"}],
         "hedgingPolicy": {"maxAttempts": 4, "hedgingDelay": "0.5s", "nonFatalStatusCodes": ["Internal"]}},
        {"timeout": "1s"}
    ],
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    "healthCheckConfig": {"serviceName": "skipped"}
}"#;

/// S4-45: everything that a service config says, in one text.
#[test]
fn s4_45_a_whole_config_is_read() {
    let config = ServiceConfig::from_json(WHOLE).expect("it is valid");
    let default = MethodConfig {
        timeout: Some(Duration::from_millis(1500)),
        ..MethodConfig::default()
    };
    let service = MethodConfig {
        wait_for_ready: Some(true),
        request_message_bytes_max: Some(0),
        response_message_bytes_max: Some(1000),
        ..MethodConfig::default()
    };
    let retry = RetryPolicy {
        attempts_max: 10,
        initial_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(1),
        backoff_multiplier: 1.6,
        retryable_status_codes: Codes::from([
            Code::Unavailable,
            Code::Aborted,
            Code::ResourceExhausted,
        ]),
    };
    let hedging = HedgingPolicy {
        attempts_max: 4,
        hedging_delay: Duration::from_millis(500),
        non_fatal_status_codes: Codes::from([Code::Internal]),
    };
    let executed = |execution| MethodConfig {
        execution: Some(execution),
        ..MethodConfig::default()
    };
    let methods = [
        ("", default),
        ("/a.B/", service.clone()),
        ("/a.C/", service),
        ("/a.B/D", executed(ExecutionPolicy::Retry(retry))),
        ("/a.B/E", executed(ExecutionPolicy::Hedging(hedging))),
    ];
    let expected = ServiceConfig {
        methods: methods.map(|(name, method)| (name.into(), method)).into(),
        retry_throttling: Some(RetryThrottling {
            tokens_max: 10,
            token_ratio_thousandths: 100,
        }),
        load_balancing: Some(Policy::RoundRobin),
    };
    assert_eq!(config, expected);
}

/// S4-41: exact beats service beats default.
#[test]
fn s4_41_the_most_exact_name_counts_alone() {
    let bound = |millis| MethodConfig {
        timeout: Some(Duration::from_millis(millis)),
        ..MethodConfig::default()
    };
    let methods = [("", 1), ("/a.B/", 2), ("/a.B/C", 3)];
    let config = ServiceConfig {
        methods: methods.map(|(name, it)| (name.into(), bound(it))).into(),
        ..ServiceConfig::default()
    };
    for (path, expected) in [("/a.B/C", 3), ("/a.B/D", 2), ("/a.Bc/D", 1), ("odd", 1)] {
        assert_eq!(config.method(path), Some(&bound(expected)), "{path}");
    }
    assert_eq!(ServiceConfig::default().method("/a.B/C"), None);
}

/// What is wrong with a text.
fn problem(text: &str) -> String {
    let parsed = ServiceConfig::from_json(text);
    parsed.expect_err(text).to_string()
}

/// S4-45: bad files, and where they are bad.
#[test]
fn s4_45_bad_configs_are_refused_with_their_place() {
    let cases = [
        ("[]", "$: must be an object"),
        (r#"{"methodConfig": {}}"#, "methodConfig: must be an array"),
        (
            r#"{"methodConfig": [1]}"#,
            "methodConfig[0]: must be an object",
        ),
        (
            r#"{"methodConfig": [{"name": [{"method": "m"}]}]}"#,
            "methodConfig[0].name[0]: has a method and no service",
        ),
        (
            r#"{"methodConfig": [{"name": [{"service": 7}]}]}"#,
            "methodConfig[0].name[0].service: must be a string",
        ),
        (
            r#"{"methodConfig": [{"name": [{"service": "s"}]}, {"name": [{}, {"service": "s", "method": ""}]}]}"#,
            "methodConfig[1].name[1]: is configured twice",
        ),
        (
            r#"{"methodConfig": [{"name": [{}, {}]}]}"#,
            "methodConfig[0].name[1]: is configured twice",
        ),
        (
            r#"{"methodConfig": [{"timeout": "1"}]}"#,
            "methodConfig[0].timeout: must be a duration such as \"1.5s\", and not below zero",
        ),
        (
            r#"{"methodConfig": [{"waitForReady": 1}]}"#,
            "methodConfig[0].waitForReady: must be true or false",
        ),
        (
            r#"{"methodConfig": [{"maxRequestMessageBytes": -1}]}"#,
            "methodConfig[0].maxRequestMessageBytes: must be a whole number from 0 to 4294967295",
        ),
        (
            r#"{"methodConfig": [{"maxResponseMessageBytes": 1.5}]}"#,
            "methodConfig[0].maxResponseMessageBytes: must be a whole number from 0 to 4294967295",
        ),
        (
            r#"{"methodConfig": [{"retryPolicy": {}, "hedgingPolicy": {}}]}"#,
            "methodConfig[0]: has both a retryPolicy and a hedgingPolicy",
        ),
        (
            r#"{"loadBalancingConfig": [{"grpclb": {}}]}"#,
            "loadBalancingConfig: has no policy that is supported: pick_first or round_robin",
        ),
        (
            r#"{"loadBalancingConfig": [{"a": {}, "pick_first": {}}]}"#,
            "loadBalancingConfig[0]: must be an object with exactly one field",
        ),
        (
            r#"{"loadBalancingPolicy": "grpclb"}"#,
            "loadBalancingPolicy: is not supported: pick_first or round_robin",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(problem(text), expected, "{text}");
    }
    assert!(problem("{").starts_with("$: "), "{}", problem("{"));
}

/// S4-45: the first policy that is supported wins, and beats the older field.
#[test]
fn s4_45_the_first_supported_load_balancing_wins() {
    let pick_first = |shuffle| Some(Policy::PickFirst { shuffle });
    let cases = [
        ("{}", None),
        (
            r#"{"loadBalancingConfig": [{"x": 1}, {"pick_first": {"shuffleAddressList": true}}, {"round_robin": {}}]}"#,
            pick_first(true),
        ),
        (
            r#"{"loadBalancingConfig": [{"pick_first": {}}], "loadBalancingPolicy": "round_robin"}"#,
            pick_first(false),
        ),
        (
            r#"{"loadBalancingPolicy": "ROUND_ROBIN"}"#,
            Some(Policy::RoundRobin),
        ),
        (
            r#"{"loadBalancingPolicy": "pick_first"}"#,
            pick_first(false),
        ),
        (r#"{"loadBalancingPolicy": "UNSPECIFIED"}"#, None),
    ];
    for (text, expected) in cases {
        let config = ServiceConfig::from_json(text).expect(text);
        assert_eq!(config.load_balancing, expected, "{text}");
    }
}

/// The place and the problem of a policy in which one field has another value; `None` if it is valid.
fn policy_problem(kind: &str, good: &[(&str, &str)], field: &str, value: &str) -> Option<String> {
    let fields = good.iter().map(|&(name, good)| {
        let value = if name == field { value } else { good };
        format!(r#""{name}": {value}"#)
    });
    let fields: alloc::vec::Vec<_> = fields.collect();
    let policy = fields.join(", ");
    let text = format!(r#"{{"methodConfig": [{{"name": [{{}}], "{kind}": {{{policy}}}}}]}}"#);
    let error = ServiceConfig::from_json(&text).err()?;
    let place = format!("methodConfig[0].{kind}.{field}");
    let rest = error.path.strip_prefix(&place).expect("the place is named");
    Some(format!("{rest}: {}", error.problem))
}

const CODE: &str = "must be the name or the number of a status code, and not OK";
const DURATION: &str = ": must be a duration such as \"1.5s\", and not below zero";

/// S4-46: every rule of a retry policy.
#[test]
fn s4_46_retry_policies_are_validated() {
    let good = [
        ("maxAttempts", "2"),
        ("initialBackoff", "\"1s\""),
        ("maxBackoff", "\"1s\""),
        ("backoffMultiplier", "1"),
        ("retryableStatusCodes", "[14]"),
    ];
    let whole = ": must be a whole number from 0 to 4294967295";
    let cases: &[(&str, &str, Option<&str>)] = &[
        ("maxAttempts", "2", None),
        ("maxAttempts", "\"3\"", None),
        ("maxAttempts", "100", None),
        ("maxAttempts", "1", Some(": must be more than 1")),
        ("maxAttempts", "0", Some(": must be more than 1")),
        ("maxAttempts", "-2", Some(whole)),
        ("maxAttempts", "2.5", Some(whole)),
        ("maxAttempts", "null", Some(": is required")),
        ("maxAttempts", "[]", Some(": must be a number")),
        ("initialBackoff", "\"0s\"", Some(": must be more than zero")),
        ("initialBackoff", "\"-1s\"", Some(DURATION)),
        ("initialBackoff", "1", Some(DURATION)),
        ("initialBackoff", "null", Some(": is required")),
        ("maxBackoff", "\"0.000000001s\"", None),
        ("maxBackoff", "\"0s\"", Some(": must be more than zero")),
        ("maxBackoff", "null", Some(": is required")),
        ("backoffMultiplier", "0.5", None),
        ("backoffMultiplier", "0", Some(": must be more than zero")),
        ("backoffMultiplier", "-1", Some(": must be more than zero")),
        ("backoffMultiplier", "\"NaN\"", Some(": must be a number")),
        ("backoffMultiplier", "null", Some(": is required")),
        ("retryableStatusCodes", "[\"UnAvailable\"]", None),
        ("retryableStatusCodes", "[\"cancelled\", 16]", None),
        ("retryableStatusCodes", "[]", Some(": must not be empty")),
        ("retryableStatusCodes", "null", Some(": is required")),
        ("retryableStatusCodes", "14", Some(": must be an array")),
    ];
    for &(field, value, expected) in cases {
        let problem = policy_problem("retryPolicy", &good, field, value);
        assert_eq!(problem.as_deref(), expected, "{field}: {value}");
    }
    for code in ["0", "\"OK\"", "17", "-1", "\"WHAT\"", "\"\"", "null"] {
        let value = format!("[14, {code}]");
        let problem = policy_problem("retryPolicy", &good, "retryableStatusCodes", &value);
        assert_eq!(problem, Some(format!("[1]: {CODE}")), "{code}");
    }
}

/// S4-49: every rule of a hedging policy.
#[test]
fn s4_49_hedging_policies_are_validated() {
    let good = [
        ("maxAttempts", "2"),
        ("hedgingDelay", "\"1s\""),
        ("nonFatalStatusCodes", "[14]"),
    ];
    let cases: &[(&str, &str, Option<&str>)] = &[
        ("maxAttempts", "5", None),
        ("maxAttempts", "1", Some(": must be more than 1")),
        ("maxAttempts", "null", Some(": is required")),
        ("hedgingDelay", "\"0s\"", None),
        ("hedgingDelay", "null", None),
        ("hedgingDelay", "\"-0.1s\"", Some(DURATION)),
        ("nonFatalStatusCodes", "[]", None),
        ("nonFatalStatusCodes", "null", None),
    ];
    for &(field, value, expected) in cases {
        let problem = policy_problem("hedgingPolicy", &good, field, value);
        assert_eq!(problem.as_deref(), expected, "{field}: {value}");
    }
}

/// S4-50: maxTokens 1 to 1000, tokenRatio 0.001 or more with three decimals.
#[test]
fn s4_50_throttling_is_validated() {
    let parse = |tokens: &str, ratio: &str| {
        let text =
            format!(r#"{{"retryThrottling": {{"maxTokens": {tokens}, "tokenRatio": {ratio}}}}}"#);
        let config = ServiceConfig::from_json(&text).map_err(|error| error.to_string())?;
        let throttling = config.retry_throttling.expect("it is configured");
        Ok((throttling.tokens_max, throttling.token_ratio_thousandths))
    };
    let tokens = |problem| Err(format!("retryThrottling.maxTokens: {problem}"));
    let ratio = |problem| Err(format!("retryThrottling.tokenRatio: {problem}"));
    let cases = [
        ("1", "0.001", Ok((1, 1))),
        ("1000", "0.1", Ok((1000, 100))),
        ("10", "0.29", Ok((10, 290))),
        ("10", "0.1239", Ok((10, 123))),
        ("10", "2", Ok((10, 2000))),
        ("10", "\"0.5\"", Ok((10, 500))),
        ("0", "0.1", tokens("must be from 1 to 1000")),
        ("1001", "0.1", tokens("must be from 1 to 1000")),
        ("null", "0.1", tokens("is required")),
        ("10", "0.0009", ratio("must be 0.001 or more")),
        ("10", "0", ratio("must be 0.001 or more")),
        ("10", "-1", ratio("must be 0.001 or more")),
        ("10", "null", ratio("is required")),
    ];
    for (max, gain, expected) in cases {
        assert_eq!(parse(max, gain), expected, "{max} {gain}");
    }
}

/// S4-45: a text that is cut is refused.
#[test]
fn s4_45_cut_texts_are_refused() {
    for end in 0..WHOLE.len() {
        assert!(ServiceConfig::from_json(&WHOLE[..end]).is_err(), "{end}");
    }
}

proptest::proptest! {
    /// Whatever stands in a text, it is read or refused.
    #[test]
    fn no_text_is_a_panic(
        place in 0..WHOLE.len(),
        length in 0..20_usize,
        other in r#"[-0-9.e"s{}\[\]:, a-zA-Z]{0,12}"#,
    ) {
        let end = (place + length).min(WHOLE.len());
        let text = format!("{}{other}{}", &WHOLE[..place], &WHOLE[end..]);
        let _ = ServiceConfig::from_json(&text);
    }
}
