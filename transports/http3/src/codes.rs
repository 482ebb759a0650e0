//! What the error codes of HTTP/3 mean for a call (gRFC G2, "Errors"), and which one says what.

use headwater_rpc::{Closed, Code, Reached};
use quinn::VarInt;

/// The error codes of RFC 9114, 8.1, and of RFC 9204, 6, as far as they are used.
pub(crate) const NO_ERROR: VarInt = VarInt::from_u32(0x100);
pub(crate) const INTERNAL_ERROR: VarInt = VarInt::from_u32(0x102);
pub(crate) const CLOSED_CRITICAL_STREAM: VarInt = VarInt::from_u32(0x104);
pub(crate) const FRAME_UNEXPECTED: VarInt = VarInt::from_u32(0x105);
pub(crate) const FRAME_ERROR: VarInt = VarInt::from_u32(0x106);
pub(crate) const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x107);
pub(crate) const ID_ERROR: VarInt = VarInt::from_u32(0x108);
pub(crate) const REQUEST_REJECTED: VarInt = VarInt::from_u32(0x10b);
pub(crate) const REQUEST_CANCELLED: VarInt = VarInt::from_u32(0x10c);
pub(crate) const REQUEST_INCOMPLETE: VarInt = VarInt::from_u32(0x10d);
pub(crate) const MESSAGE_ERROR: VarInt = VarInt::from_u32(0x10e);
pub(crate) const DECOMPRESSION_FAILED: VarInt = VarInt::from_u32(0x200);
pub(crate) const ENCODER_STREAM_ERROR: VarInt = VarInt::from_u32(0x201);
pub(crate) const DECODER_STREAM_ERROR: VarInt = VarInt::from_u32(0x202);

/// The reset that says this.
pub(crate) const fn reset_code(code: Code) -> VarInt {
    match code {
        Code::ResourceExhausted => EXCESSIVE_LOAD,
        Code::Internal => INTERNAL_ERROR,
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
        | Code::Unauthenticated => REQUEST_CANCELLED,
    }
}

/// How a stream ended that the peer has reset with this code.
pub(crate) fn closed_by_reset(code: VarInt) -> Closed {
    match code {
        // Not looked at by the application, so it may be sent again (RFC 9114, 4.1.1).
        REQUEST_REJECTED => Closed::cancelled(Code::Unavailable).having_reached(Reached::Library),
        REQUEST_CANCELLED => Closed::cancelled(Code::Cancelled),
        EXCESSIVE_LOAD => Closed::cancelled(Code::ResourceExhausted),
        _ => Closed::cancelled(Code::Internal),
    }
}

/// How a stream ended whose connection was lost.
pub(crate) fn closed_by_connection(error: &quinn::ConnectionError) -> Closed {
    Closed::broken(lost(error))
}

/// Why a connection is gone, without anything that its peer said.
pub(crate) const fn lost(error: &quinn::ConnectionError) -> &'static str {
    match error {
        quinn::ConnectionError::TimedOut => {
            "the connection was lost: nothing was heard of the peer"
        }
        quinn::ConnectionError::ApplicationClosed(_)
        | quinn::ConnectionError::ConnectionClosed(_) => {
            "the connection was lost: the peer closed it"
        }
        quinn::ConnectionError::LocallyClosed => "the connection was lost: this side closed it",
        quinn::ConnectionError::VersionMismatch
        | quinn::ConnectionError::TransportError(_)
        | quinn::ConnectionError::Reset
        | quinn::ConnectionError::CidsExhausted => "the connection was lost",
    }
}

#[cfg(test)]
mod tests {
    use headwater_rpc::EndedBy;

    use super::*;

    /// S4-81: the map of gRFC G2 beside that of HTTP/2 (`PROTOCOL-HTTP2.md`, "Errors"), where the same thing is said by
    /// another number.
    #[test]
    fn s4_81_each_code_means_what_its_counterpart_of_http2_means() {
        // H3 code, HTTP/2's code of the same meaning, status, whether it may be sent again.
        let table: [(u32, u32, Code, Reached); 12] = [
            (0x10b, 0x7, Code::Unavailable, Reached::Library), // REQUEST_REJECTED, REFUSED_STREAM
            (0x10c, 0x8, Code::Cancelled, Reached::Handler),   // REQUEST_CANCELLED, CANCEL
            (0x107, 0xb, Code::ResourceExhausted, Reached::Handler), // EXCESSIVE_LOAD, ENHANCE_YOUR_CALM
            (0x100, 0x0, Code::Internal, Reached::Handler),          // NO_ERROR
            (0x101, 0x1, Code::Internal, Reached::Handler), // GENERAL_PROTOCOL_ERROR, PROTOCOL_ERROR
            (0x102, 0x2, Code::Internal, Reached::Handler), // INTERNAL_ERROR
            (0x103, 0x1, Code::Internal, Reached::Handler), // STREAM_CREATION_ERROR
            (0x104, 0x5, Code::Internal, Reached::Handler), // CLOSED_CRITICAL_STREAM, STREAM_CLOSED
            (0x106, 0x6, Code::Internal, Reached::Handler), // FRAME_ERROR, FRAME_SIZE_ERROR
            (0x10e, 0x1, Code::Internal, Reached::Handler), // MESSAGE_ERROR, PROTOCOL_ERROR
            (0x200, 0x9, Code::Internal, Reached::Handler), // DECOMPRESSION_FAILED, COMPRESSION_ERROR
            (0x0, 0x0, Code::Internal, Reached::Handler),   // what no code of HTTP/3 is
        ];
        for (h3, h2, status, reached) in table {
            let closed = closed_by_reset(VarInt::from_u32(h3));
            assert_eq!(closed.status.code, status, "{h3:#x}, HTTP/2's {h2:#x}");
            assert_eq!(closed.reached, reached, "{h3:#x}");
            assert_eq!(closed.by, EndedBy::Peer, "{h3:#x}");
            assert_eq!(status_of_http2(h2), status, "{h2:#x} of HTTP/2");
        }
    }

    /// `PROTOCOL-HTTP2.md`, "Errors", as far as the table above names it.
    fn status_of_http2(code: u32) -> Code {
        match code {
            0x7 => Code::Unavailable,
            0x8 => Code::Cancelled,
            0xb => Code::ResourceExhausted,
            0x0 | 0x1 | 0x2 | 0x5 | 0x6 | 0x9 => Code::Internal,
            other => panic!("{other:#x} is not in the table"),
        }
    }

    /// S4-81: what this side says, the other side understands.
    #[test]
    fn s4_81_a_reset_says_what_it_means() {
        for code in [Code::Cancelled, Code::ResourceExhausted, Code::Internal] {
            assert_eq!(closed_by_reset(reset_code(code)).status.code, code);
        }
        // S4-82
        assert_eq!(reset_code(Code::DeadlineExceeded), REQUEST_CANCELLED);
    }
}
