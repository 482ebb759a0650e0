//! What a client does about a call that fails or takes long, without being told at every call: gRPC's service config
//! (gRFC A2), and retries, hedging and throttling exactly as gRFC A6 has them.
//!
//! Everything here is a pure decision. [`ServiceConfig`] says which policy a method has, [`Attempts`](attempts::Attempts) is the machine of one
//! call under a policy, [`Throttle`] is what the calls of one channel share, and [`BackOff`](crate::BackOff) is how long to wait. Two
//! things of A6 differ between gRPC's own libraries, and here:
//!
//! - *A push-back delays or forbids a retry; it never asks for one.* A failure whose code the policy does not name ends the
//!   call, whatever the server says about waiting: which calls may be sent twice is the owner's word.
//! - *A failure is counted before the throttle is asked*, so that the failure which empties the bucket is not retried.

pub mod attempts;
mod codes;
mod execution;
mod pushback;
mod service_config;
mod throttle;

pub use codes::Codes;
pub use execution::{ExecutionPolicy, HedgingPolicy, RetryPolicy};
pub use pushback::Pushback;
pub use service_config::{ConfigError, MethodConfig, ServiceConfig};
pub use throttle::{RetryThrottling, Throttle};
