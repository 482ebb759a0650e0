//! Time as a value: machines are told the time and never read a clock.

use core::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

/// A moment: how long after the driver started. Printable, and can be made up in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(Duration);

impl Time {
    /// The moment at which the driver started.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The moment this long after the driver started.
    pub const fn after_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the driver started.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long from `earlier` to here; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates: a deadline too far away never comes.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub for Time {
    type Output = Duration;

    /// See [`Time::since`].
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// When a machine wants to be called again, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The driver calls the machine's timeout at this moment or later.
    pub at: Time,
    /// What falls due.
    pub why: Why,
}

/// What falls due at a [`Deadline`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// Outputs wait: the driver forgot to drain the machine.
    Drain,
    /// The deadline of a call.
    CallDeadline,
    /// A link that has not said `register` yet.
    Register,
    /// An event that the upstream has not answered yet.
    EventAnswer,
    /// Nothing was heard for a while: time to ask.
    KeepAlive,
    /// The peer was asked and stayed silent.
    Silence,
    /// The peer was told to close and has not.
    Close,
    /// A time of waiting before the next attempt.
    BackOff,
    /// An attempt to connect that takes too long.
    Connect,
    /// There was no call for a while.
    Idle,
    /// A message that nobody took in time.
    Expiry,
    /// A consumer that has not taken what it was pushed.
    Consumer,
}
