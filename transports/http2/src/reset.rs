//! How a call ends by a reset.

use h2::Reason;
use headwater_rpc::Code;

/// The reset that says this.
pub(crate) fn reason(code: Code) -> Reason {
    match code {
        Code::ResourceExhausted => Reason::ENHANCE_YOUR_CALM,
        Code::Internal => Reason::INTERNAL_ERROR,
        Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => Reason::CANCEL,
    }
}
