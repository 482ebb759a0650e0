//! What a client allows its policies.

use headwater_core::policy::attempts::Attempts;

/// The bounds of a client's retries and hedges, whatever a service config says (gRFC A6, "Limits on Retries and Hedges" and
/// "Memory Management").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryConfig {
    /// How many attempts a call has at most; a policy that says more counts as this. Default: 5.
    pub attempts_max: u32,
    /// What one call may keep of its requests to send them again, in bytes; each message counts 32 beside its own. A call
    /// that sends more is committed to the attempt that runs. It may overshoot by what one pull takes, 64 KiB and a message.
    /// 0 keeps nothing. Default: 256 KiB.
    pub call_buffer_bytes_max: usize,
    /// The same for all calls of the client together. Of calls without a policy, requests of up to 1 KiB are not counted.
    /// Default: 16 MiB.
    pub channel_buffer_bytes_max: usize,
    /// Where the random part of the waits comes from: the n-th call with a policy draws from this plus n − 1. Default: a
    /// number that nobody knows, so that clients which failed together do not come back together.
    pub seed: Option<u64>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts_max: Attempts::MAX_DEFAULT,
            call_buffer_bytes_max: 256 << 10,
            channel_buffer_bytes_max: 16 << 20,
            seed: None,
        }
    }
}
