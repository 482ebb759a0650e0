//! The configuration of a service's clients, as its owner publishes it.

mod duration;
mod json;
mod parse;
#[cfg(test)]
mod tests;

use alloc::{boxed::Box, collections::BTreeMap};
use core::time::Duration;

pub use json::ConfigError;

use super::{execution::ExecutionPolicy, throttle::RetryThrottling};
use crate::balance::Policy;

/// What clients of a service do without being told at every call (gRFC A2, `service_config.proto`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServiceConfig {
    /// By name: a method (`/package.Service/Method`), all of a service (`/package.Service/`), or all (empty). The most
    /// exact name counts alone. Default: none.
    pub methods: BTreeMap<Box<str>, MethodConfig>,
    /// When retries and hedges stop. Default: never.
    pub retry_throttling: Option<RetryThrottling>,
    /// How calls are spread over connections. Heeded where name resolution brings it. Default: what the channel says.
    pub load_balancing: Option<Policy>,
}

/// The bounds and the policy of one or more methods. What a call's own options say counts before them, except that the
/// earlier of two timeouts applies.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MethodConfig {
    /// How long a call may take, all its attempts together. Default: without bound.
    pub timeout: Option<Duration>,
    /// Whether a call waits for a connection instead of failing while there is none. Default: what the call's options say.
    pub wait_for_ready: Option<bool>,
    /// The largest request that is sent, in bytes before compression; 0 lets only empty ones through. Default: what the
    /// call's options say.
    pub request_message_bytes_max: Option<usize>,
    /// The largest response that is taken, in bytes after decompression; 0 lets only empty ones through. Default: what the
    /// call's options say.
    pub response_message_bytes_max: Option<usize>,
    /// Whether calls are retried or hedged. Default: neither.
    pub execution: Option<ExecutionPolicy>,
}

impl ServiceConfig {
    /// The configuration in gRPC's JSON. Fields that are not known are skipped, and `null` stands for a field that is not
    /// there.
    ///
    /// # Errors
    ///
    /// The text breaks a rule of `service_config.proto` or gRFC A6; says which, and where.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        parse::service_config(text)
    }

    /// The configuration of the method at this path, such as `/package.Service/Method`: of its own name, else of its
    /// service, else of all.
    pub fn method(&self, path: &str) -> Option<&MethodConfig> {
        if self.methods.is_empty() {
            return None;
        }
        let service = path.rfind('/').map_or("", |slash| &path[..=slash]);
        let names = [path, service, ""];
        names.into_iter().find_map(|name| self.methods.get(name))
    }

    /// Whether nothing is configured.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
