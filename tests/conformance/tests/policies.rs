//! Retries, hedging and throttling on every transport (U-12). In process time is virtual and waits are exact to the
//! millisecond; over the network they are short, and only their order is asserted.

#[path = "policies/duties.rs"]
mod duties;
#[path = "policies/hedging.rs"]
mod hedging;
#[path = "policies/options.rs"]
mod options;
#[path = "policies/retries.rs"]
mod retries;
#[path = "policies/streams.rs"]
mod streams;
#[path = "policies/threads.rs"]
mod threads;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use headwater_conformance::{
    Fixture, Transport,
    control::ECHO,
    flaky::{FLAKY, Flaky, Reply},
    for_each_transport_on_virtual_time,
};
use headwater_core::{BackOff, Waits};
use headwater_rpc::{
    CallOptions, Code, Codes, ExecutionPolicy, HedgingPolicy, Metadata, MethodConfig, RetryConfig,
    RetryPolicy, RetryThrottling, ServiceConfig, Status,
};
use tokio::time::Instant;

const SEED: u64 = 5;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A pair with the flaky service, and whether its time is virtual.
struct Case {
    pair: Fixture,
    flaky: Arc<Flaky>,
    exact: bool,
}

impl Case {
    async fn new(transport: Transport) -> Self {
        Self::with_config(transport, ServiceConfig::default()).await
    }

    async fn with_policy(transport: Transport, policy: ExecutionPolicy) -> Self {
        Self::with_config(transport, executing(policy)).await
    }

    async fn with_config(transport: Transport, config: ServiceConfig) -> Self {
        let exact = transport.is_within_process();
        let pair = Fixture::with_service_config(transport, config).await;
        let flaky = Flaky::serve(&pair.router);
        // The connection is up before anything is measured. By a method that no config bounds: it may take long.
        let warm = pair.unary(ECHO, "warm").await;
        assert_eq!(warm, Ok(Bytes::from("warm")));
        flaky.reply([]);
        let seeded = RetryConfig {
            seed: Some(SEED),
            ..RetryConfig::default()
        };
        pair.client.set_retry_config(seeded);
        Self { pair, flaky, exact }
    }

    /// A call whose attempts are replied to like this.
    async fn run(&self, replies: impl IntoIterator<Item = Reply>) -> Result<Bytes, Code> {
        self.run_with(replies, CallOptions::default()).await
    }

    async fn run_with(
        &self,
        replies: impl IntoIterator<Item = Reply>,
        options: CallOptions,
    ) -> Result<Bytes, Code> {
        self.flaky.reply(replies);
        let request = Bytes::from_static(b"question");
        let client = &self.pair.client;
        let answer = client.unary(FLAKY, Metadata::new(), request, options);
        answer.await.map_err(|status: Status| status.code)
    }

    /// How many attempts the service has seen.
    fn attempts(&self) -> usize {
        self.flaky.seen().len()
    }

    /// How long after the first attempt the others came, in milliseconds.
    fn waits(&self) -> Vec<u128> {
        let seen = self.flaky.seen();
        let first = seen.first().map_or_else(Instant::now, |first| first.at);
        let since = seen.iter().skip(1).map(|seen| seen.at - first);
        since.map(|wait| wait.as_millis()).collect()
    }
}

fn answered() -> Result<Bytes, Code> {
    Ok(Bytes::from_static(b"question"))
}

fn executing(policy: ExecutionPolicy) -> ServiceConfig {
    let method = MethodConfig {
        execution: Some(policy),
        ..MethodConfig::default()
    };
    ServiceConfig {
        methods: [(FLAKY.into(), method)].into(),
        ..ServiceConfig::default()
    }
}

fn retry(attempts_max: u32) -> ExecutionPolicy {
    ExecutionPolicy::Retry(RetryPolicy {
        attempts_max,
        initial_backoff: ms(10),
        max_backoff: ms(20),
        backoff_multiplier: 2.0,
        retryable_status_codes: Codes::from([Code::Unavailable]),
    })
}

/// The waits of the n-th call with [`retry`], counted from 0.
fn waits_of(call: u64) -> Waits {
    let back_off = BackOff {
        initial: ms(10),
        multiplier: 2.0,
        max: ms(20),
        jitter: 0.2,
    };
    back_off.waits(SEED + call)
}

fn hedging(attempts_max: u32, delay: u64) -> ExecutionPolicy {
    ExecutionPolicy::Hedging(HedgingPolicy {
        attempts_max,
        hedging_delay: ms(delay),
        non_fatal_status_codes: Codes::from([Code::Unavailable]),
    })
}

fn throttled(policy: ExecutionPolicy, tokens_max: u32, thousandths: u32) -> ServiceConfig {
    ServiceConfig {
        retry_throttling: Some(RetryThrottling {
            tokens_max,
            token_ratio_thousandths: thousandths,
        }),
        ..executing(policy)
    }
}

fn unavailable(times: usize) -> Vec<Reply> {
    vec![Reply::Fail(Code::Unavailable); times]
}
