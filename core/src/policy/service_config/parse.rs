//! From JSON to a [`ServiceConfig`], with the rules of `service_config.proto` and gRFC A6.

use alloc::{boxed::Box, collections::BTreeMap, format};
use core::time::Duration;

use headwater_proto::Code;

use super::{
    ConfigError, MethodConfig, ServiceConfig,
    json::{self, Node},
};
use crate::{
    balance::Policy,
    policy::{Codes, ExecutionPolicy, HedgingPolicy, RetryPolicy, RetryThrottling},
};

const TOKENS_MAX: u32 = 1000;

pub(super) fn service_config(text: &str) -> Result<ServiceConfig, ConfigError> {
    let value = json::read(text)?;
    let root = Node::root(&value);
    root.check_object()?;
    let throttling = root.field("retryThrottling");
    Ok(ServiceConfig {
        methods: methods(&root)?,
        retry_throttling: throttling.map(|node| retry_throttling(&node)).transpose()?,
        load_balancing: load_balancing(&root)?,
    })
}

fn methods(root: &Node<'_>) -> Result<BTreeMap<Box<str>, MethodConfig>, ConfigError> {
    let mut methods = BTreeMap::new();
    let Some(list) = root.field("methodConfig") else {
        return Ok(methods);
    };
    for entry in list.items()? {
        entry.check_object()?;
        let config = method_config(&entry)?;
        let Some(names) = entry.field("name") else {
            continue;
        };
        for node in names.items()? {
            if methods.insert(name(&node)?, config.clone()).is_some() {
                return Err(node.error("is configured twice"));
            }
        }
    }
    Ok(methods)
}

/// The key of [`ServiceConfig::methods`].
fn name(node: &Node<'_>) -> Result<Box<str>, ConfigError> {
    node.check_object()?;
    let part = |name| {
        let field = node.field(name);
        field.map_or(Ok(""), |field| field.text())
    };
    match (part("service")?, part("method")?) {
        ("", "") => Ok("".into()),
        ("", _) => Err(node.error("has a method and no service")),
        (service, method) => Ok(format!("/{service}/{method}").into()),
    }
}

fn method_config(entry: &Node<'_>) -> Result<MethodConfig, ConfigError> {
    let bytes_max = |name| {
        let node = entry.field(name);
        let bytes = node.map(|node| node.whole()).transpose();
        // Where a size does not fit, it bounds nothing.
        bytes.map(|bytes| bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)))
    };
    let timeout = entry.field("timeout");
    let wait_for_ready = entry.field("waitForReady");
    Ok(MethodConfig {
        timeout: timeout.map(|node| node.duration()).transpose()?,
        wait_for_ready: wait_for_ready.map(|node| node.flag()).transpose()?,
        request_message_bytes_max: bytes_max("maxRequestMessageBytes")?,
        response_message_bytes_max: bytes_max("maxResponseMessageBytes")?,
        execution: execution(entry)?,
    })
}

fn execution(entry: &Node<'_>) -> Result<Option<ExecutionPolicy>, ConfigError> {
    match (entry.field("retryPolicy"), entry.field("hedgingPolicy")) {
        (None, None) => Ok(None),
        (Some(node), None) => retry_policy(&node).map(ExecutionPolicy::Retry).map(Some),
        (None, Some(node)) => hedging_policy(&node)
            .map(ExecutionPolicy::Hedging)
            .map(Some),
        (Some(_), Some(_)) => Err(entry.error("has both a retryPolicy and a hedgingPolicy")),
    }
}

fn retry_policy(node: &Node<'_>) -> Result<RetryPolicy, ConfigError> {
    node.check_object()?;
    let multiplier = node.required("backoffMultiplier")?;
    let codes = node.required("retryableStatusCodes")?;
    let policy = RetryPolicy {
        attempts_max: attempts_max(node)?,
        initial_backoff: node.required("initialBackoff")?.some_time()?,
        max_backoff: node.required("maxBackoff")?.some_time()?,
        backoff_multiplier: multiplier.number()?,
        retryable_status_codes: status_codes(&codes)?,
    };
    if policy.backoff_multiplier <= 0.0 {
        return Err(multiplier.error("must be more than zero"));
    }
    if policy.retryable_status_codes.is_empty() {
        return Err(codes.error("must not be empty"));
    }
    Ok(policy)
}

fn hedging_policy(node: &Node<'_>) -> Result<HedgingPolicy, ConfigError> {
    node.check_object()?;
    let delay = node.field("hedgingDelay");
    let codes = node.field("nonFatalStatusCodes");
    Ok(HedgingPolicy {
        attempts_max: attempts_max(node)?,
        hedging_delay: delay.map_or(Ok(Duration::ZERO), |node| node.duration())?,
        // `service_config.proto` says that these may be missing.
        non_fatal_status_codes: codes.map_or(Ok(Codes::NONE), |node| status_codes(&node))?,
    })
}

fn attempts_max(policy: &Node<'_>) -> Result<u32, ConfigError> {
    let node = policy.required("maxAttempts")?;
    match node.whole()? {
        0 | 1 => Err(node.error("must be more than 1")),
        attempts => Ok(attempts),
    }
}

fn status_codes(list: &Node<'_>) -> Result<Codes, ConfigError> {
    list.items()?.map(|node| status_code(&node)).collect()
}

/// A code by its number or its name, in capitals or not.
fn status_code(node: &Node<'_>) -> Result<Code, ConfigError> {
    let known = Code::ALL.into_iter().find(|code| match node.text() {
        // How the specification of gRPC's own codes spells it, too.
        Ok(name) if name.eq_ignore_ascii_case("CANCELED") => *code == Code::Cancelled,
        Ok(name) => name.eq_ignore_ascii_case(code.name()),
        Err(_) => node.whole() == Ok(u32::from(code.number())),
    });
    known.ok_or_else(|| node.error("must be the name or the number of a status code, and not OK"))
}

fn retry_throttling(node: &Node<'_>) -> Result<RetryThrottling, ConfigError> {
    node.check_object()?;
    let tokens = node.required("maxTokens")?;
    let tokens_max = tokens.whole()?;
    if !(1..=TOKENS_MAX).contains(&tokens_max) {
        return Err(tokens.error("must be from 1 to 1000"));
    }
    let ratio = node.required("tokenRatio")?;
    // Decimals after the third do not count; those of the binary number, which may lie a hair below, are rounded first.
    let thousandths = (ratio.number()? * 1e9 + 0.5) / 1e6;
    if thousandths < 1.0 {
        return Err(ratio.error("must be 0.001 or more"));
    }
    Ok(RetryThrottling {
        tokens_max,
        token_ratio_thousandths: thousandths as u32,
    })
}

/// The first policy that is supported, as the list is in order of preference.
fn load_balancing(root: &Node<'_>) -> Result<Option<Policy>, ConfigError> {
    let Some(list) = root.field("loadBalancingConfig") else {
        return deprecated_load_balancing(root);
    };
    for entry in list.items()? {
        match entry.only_field()? {
            ("pick_first", config) => {
                config.check_object()?;
                let shuffle = config.field("shuffleAddressList");
                let shuffle = shuffle.map_or(Ok(false), |node| node.flag())?;
                return Ok(Some(Policy::PickFirst { shuffle }));
            }
            ("round_robin", config) => {
                config.check_object()?;
                return Ok(Some(Policy::RoundRobin));
            }
            _ => {}
        }
    }
    Err(list.error("has no policy that is supported: pick_first or round_robin"))
}

/// `loadBalancingPolicy`, which counts only where there is no `loadBalancingConfig`.
fn deprecated_load_balancing(root: &Node<'_>) -> Result<Option<Policy>, ConfigError> {
    let Some(node) = root.field("loadBalancingPolicy") else {
        return Ok(None);
    };
    let name = node.text()?;
    if name.eq_ignore_ascii_case("round_robin") {
        return Ok(Some(Policy::RoundRobin));
    }
    if name.eq_ignore_ascii_case("pick_first") {
        return Ok(Some(Policy::PickFirst { shuffle: false }));
    }
    if name.is_empty() || name.eq_ignore_ascii_case("unspecified") {
        return Ok(None);
    }
    Err(node.error("is not supported: pick_first or round_robin"))
}
