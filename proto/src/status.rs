//! How a call ends: the status codes of gRPC, without OK.
//!
//! Success is not an error code, so there is no `Code::Ok`: an outcome is `Result<(), Status>`.

use alloc::string::String;
use core::fmt;

use bytes::Bytes;

/// Why a call failed; the codes of gRPC (`statuscodes.md`), without OK.
///
/// Exhaustive, because gRPC defines exactly these: an unknown number on the wire is [`Code::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Code {
    /// The caller gave up.
    Cancelled = 1,
    /// Something failed without saying how.
    Unknown = 2,
    /// The request is wrong whatever the state of the system.
    InvalidArgument = 3,
    /// Time ran out first; the work may have been done all the same.
    DeadlineExceeded = 4,
    /// What was asked for does not exist.
    NotFound = 5,
    /// What was to be made exists.
    AlreadyExists = 6,
    /// The caller is known and may not.
    PermissionDenied = 7,
    /// A quota or a bound is used up.
    ResourceExhausted = 8,
    /// The system is not in the state that this needs; retrying alone will not help.
    FailedPrecondition = 9,
    /// A conflict; retry from a higher level.
    Aborted = 10,
    /// Past the end.
    OutOfRange = 11,
    /// The method does not exist here.
    Unimplemented = 12,
    /// An invariant is broken.
    Internal = 13,
    /// Not reachable for now; retry with back-off.
    Unavailable = 14,
    /// Data is lost for good.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

impl Code {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code of this number: 1 to 16. A number that gRPC does not define is [`Code::Unknown`], and 0, which is OK,
    /// is no code.
    pub fn from_number(number: i64) -> Option<Self> {
        if number == 0 {
            return None;
        }
        let known = Self::ALL
            .into_iter()
            .find(|code| i64::from(code.number()) == number);
        Some(known.unwrap_or(Self::Unknown))
    }

    /// The number on the wire: 1 to 16.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name in capitals, such as `NOT_FOUND`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How something ended badly, as the peer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The kind of failure; what programs branch on.
    pub code: Code,
    /// For people. Never holds a secret or an internal name.
    pub message: String,
    /// Rich error details: an encoded `google.rpc.Status`, or empty. `grpc-status-details-bin` on the wire.
    pub details: Bytes,
}

impl Status {
    /// A status without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Bytes::new(),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return write!(f, "{}", self.code);
        }
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl core::error::Error for Status {}

impl From<Status> for crate::v1::Status {
    fn from(status: Status) -> Self {
        Self {
            code: i32::from(status.code.number()),
            message: status.message,
        }
    }
}

impl From<crate::v1::Status> for Status {
    /// Code 0, which no failure has, becomes [`Code::Unknown`].
    fn from(status: crate::v1::Status) -> Self {
        let code = Code::from_number(i64::from(status.code)).unwrap_or(Code::Unknown);
        Self::new(code, status.message)
    }
}
