//! One logical call that is sent as often as its policy says.
//!
//! [`Attempts`] decides when an attempt is begun, which one the call is committed to, and with what the call ends. It is
//! told what becomes of each attempt, and it does no IO and holds no message: a driver replays those.
//!
//! Promises:
//!
//! - [`Output::Commit`] or [`Output::End`] comes exactly once, unless the call is cancelled, and it is the last output;
//!   every other attempt has been cancelled before it.
//! - No attempt is begun after it, and none beyond what the policy and the client allow.
//! - The call's deadline is not here: it is the logical call's own, and cancels this (gRFC A6: it covers all attempts).
//!
//! ```
//! use core::time::Duration;
//! use headwater_core::{Time, call::Trailers, policy::{attempts::*, *}};
//! use headwater_proto::{Code, Status};
//!
//! let policy = ExecutionPolicy::Retry(RetryPolicy {
//!     attempts_max: 3,
//!     initial_backoff: Duration::from_millis(100),
//!     max_backoff: Duration::from_secs(1),
//!     backoff_multiplier: 2.0,
//!     retryable_status_codes: Codes::from([Code::Unavailable]),
//! });
//! let mut throttle = Throttle::new(None);
//! let mut attempts = Attempts::new(&policy, Attempts::MAX_DEFAULT, 42, Time::ZERO);
//! let Some(Output::Start(first)) = attempts.poll_output() else {
//!     panic!("the first attempt goes out at once")
//! };
//!
//! let failed = AttemptEnd::Status(Trailers::failed(Status::new(Code::Unavailable, "busy")));
//! attempts.handle(Input::Ended(first.id, failed), &mut throttle, Time::ZERO);
//! let retry_at = attempts.poll_timeout().expect("it waits a while").at;
//! attempts.handle(Input::Timeout, &mut throttle, retry_at);
//! let Some(Output::Start(second)) = attempts.poll_output() else {
//!     panic!("then it tries again")
//! };
//! assert_eq!(second.previous, 1);
//!
//! attempts.handle(Input::Headers(second.id), &mut throttle, retry_at);
//! assert_eq!(attempts.poll_output(), Some(Output::Commit(second.id)));
//! ```

mod machine;
mod parts;
#[cfg(test)]
mod tests;

pub use machine::Attempts;
pub use parts::{AttemptEnd, AttemptId, Input, Output, RetryCounters, Start};
