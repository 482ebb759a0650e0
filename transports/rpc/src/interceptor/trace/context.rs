//! W3C Trace Context: which span a call belongs to, told from process to process.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    num::{NonZeroU64, NonZeroU128},
    str::FromStr,
    sync::Arc,
};

use headwater_proto::{Metadata, metadata::Value};

#[cfg(test)]
mod tests;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// What has to be passed on of a `tracestate`; a longer one is left out (W3C Trace Context, 3.3.1.5).
const STATE_BYTES_MAX: usize = 512;

/// The bytes of a `traceparent` of version 00.
const PARENT_BYTES: usize = 55;

/// The one flag of version 00.
const SAMPLED: u8 = 1;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// A span's place in its trace, as the metadata keys `traceparent` and `tracestate` carry it
/// ([W3C Trace Context](https://www.w3.org/TR/trace-context/), version 00). Clones are cheap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: NonZeroU128,
    span_id: NonZeroU64,
    is_sampled: bool,
    state: Option<Arc<str>>,
}

/// A text that is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceParentError;

impl fmt::Display for TraceParentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a traceparent")
    }
}

impl std::error::Error for TraceParentError {}

impl TraceContext {
    /// The span of this trace with this id.
    pub const fn new(trace_id: NonZeroU128, span_id: NonZeroU64, is_sampled: bool) -> Self {
        Self {
            trace_id,
            span_id,
            is_sampled,
            state: None,
        }
    }

    /// The same with this `tracestate`; without one, if it is empty or over 512 bytes.
    #[must_use]
    pub fn with_state(mut self, state: &str) -> Self {
        let fits = !state.is_empty() && state.len() <= STATE_BYTES_MAX;
        self.state = fits.then(|| state.into());
        self
    }

    /// The first span of a new trace, with random ids.
    pub fn root() -> Self {
        let trace_id = u128::from(random().get()) << 64 | u128::from(random().get());
        let trace_id = NonZeroU128::new(trace_id).unwrap_or(NonZeroU128::MIN);
        Self::new(trace_id, random(), true)
    }

    /// Another span of this trace, with a random id.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            span_id: random(),
            ..self.clone()
        }
    }

    /// The span of the call that this task handles: a server's [`super::TracingServer`] sets it around the handler, and a
    /// [`super::TracingClient`] makes what is called from there a child. A task that the handler spawns has none, unless
    /// it is run in a [`TraceContext::scope`].
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Runs `future` with this as [`TraceContext::current`].
    ///
    /// # Cancel safety
    ///
    /// That of `future`.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// What the metadata of a call say. `None` if there is no `traceparent`, more than one, or one that is not valid.
    pub fn of(metadata: &Metadata) -> Option<Self> {
        let mut parents = metadata.values(TRACEPARENT);
        let (Some(Value::Ascii(parent)), None) = (parents.next(), parents.next()) else {
            return None;
        };
        let context: Self = parent.parse().ok()?;
        let states: Vec<_> = metadata.values(TRACESTATE).map(Value::to_wire).collect();
        Some(context.with_state(&states.join(",")))
    }

    /// Puts it into the metadata of a call, in place of what they said. A state that no metadata can carry is left out.
    pub fn write_to(&self, metadata: &mut Metadata) {
        metadata.remove(TRACEPARENT);
        metadata.remove(TRACESTATE);
        // Hexadecimal digits and dashes: it is not refused.
        let _ = metadata.append(TRACEPARENT, self.to_string());
        if let Some(state) = &self.state {
            let _ = metadata.append(TRACESTATE, &**state);
        }
    }

    /// The trace. Written as 32 hexadecimal digits.
    pub const fn trace_id(&self) -> NonZeroU128 {
        self.trace_id
    }

    /// The span. Written as 16 hexadecimal digits.
    pub const fn span_id(&self) -> NonZeroU64 {
        self.span_id
    }

    /// Whether the caller may have recorded the trace.
    pub const fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// What the tracing systems on the way say of the trace, as it came; up to 512 bytes.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// A `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled) * SAMPLED;
        write!(f, "00-{:032x}-{:016x}-", self.trace_id, self.span_id)?;
        write!(f, "{flags:02x}")
    }
}

/// From a `traceparent`. Later versions are read as far as version 00 goes (3.2.2 and 4.3).
impl FromStr for TraceContext {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        let fields = fields(text).ok_or(TraceParentError)?;
        let [version, trace_id, span_id, flags] = fields;
        let is_longer = text.len() > PARENT_BYTES;
        if version == 0xff || (version == 0 && is_longer) {
            return Err(TraceParentError);
        }
        let span_id = u64::try_from(span_id).ok().and_then(NonZeroU64::new);
        Ok(Self::new(
            NonZeroU128::new(trace_id).ok_or(TraceParentError)?,
            span_id.ok_or(TraceParentError)?,
            flags & u128::from(SAMPLED) != 0,
        ))
    }
}

/// Version, trace, span and flags. What a later version has more begins with a dash.
fn fields(text: &str) -> Option<[u128; 4]> {
    let mut parts = text.splitn(5, '-');
    let mut next = |digits| parts.next().and_then(|part| hexadecimal(part, digits));
    Some([next(2)?, next(32)?, next(16)?, next(2)?])
}

/// The number of exactly so many digits, of which none is upper case.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

/// Ids only have to be unique, so what std seeds its maps with is good enough.
fn random() -> NonZeroU64 {
    NonZeroU64::new(RandomState::new().hash_one(0)).unwrap_or(NonZeroU64::MIN)
}
