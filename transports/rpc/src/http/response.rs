//! The head of a response: `PROTOCOL-HTTP2.md`, "Responses", which HTTP/3 shares (gRFC G2).

use ::http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};
use headwater_core::call::{Closed, EndedBy, Frame, Reached, Trailers, Violation};
use headwater_proto::{Code, Metadata, Status, grpc::trailers::code_of_http_status};

use super::headers;
use crate::{Encoded, Pulled};

/// The head of an answer, by what was pulled of it first.
///
/// # Errors
///
/// The call ended before it had headers: the head is all of the answer.
pub fn begin(pulled: Pulled, encoded: &mut Encoded) -> Result<Response<()>, Response<()>> {
    let failed = |code, message| trailers_only(&Trailers::failed(Status::new(code, message)));
    match (pulled, encoded.headers.take(), &encoded.end) {
        (Pulled::Frames, Some(metadata), _) => Ok(with_metadata(&metadata)),
        (Pulled::Frames, None, Some(trailers)) => Err(trailers_only(trailers)),
        // The machine sends headers before any message.
        (Pulled::Frames, None, None) => Err(failed(Code::Internal, "a message before headers")),
        // A reset of the stream would say less.
        (Pulled::Reset(code), _, _) => Err(failed(code, "the call was reset")),
        (Pulled::Done, _, _) => Err(failed(Code::Cancelled, "the call was cancelled")),
    }
}

/// The head of responses that begin with this metadata.
pub fn with_metadata(metadata: &Metadata) -> Response<()> {
    let mut response = of_grpc();
    headers::append_metadata(metadata, response.headers_mut());
    response
}

/// A response whose status stands in its headers, and which has nothing else.
pub fn trailers_only(trailers: &Trailers) -> Response<()> {
    let mut response = of_grpc();
    headers::append_trailers(trailers, response.headers_mut());
    response
}

/// A response to what is no gRPC call.
pub fn plain(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response
}

fn of_grpc() -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.reserve(1);
    headers.insert(CONTENT_TYPE, headers::content_type());
    response
}

/// The first frame of the responses that begin with this head: their headers, or their end where there is nothing else.
///
/// # Errors
///
/// It is no gRPC response (the code is that of `http-grpc-status-mapping.md`), or its metadata cannot be read.
pub fn to_frame(status: StatusCode, headers: &HeaderMap) -> Result<Frame, Closed> {
    if let Some(trailers) = headers::to_trailers(headers) {
        return Ok(Frame::end(trailers));
    }
    if status != StatusCode::OK || !headers::is_grpc(headers) {
        let message = format!("http status {} without grpc-status", status.as_u16());
        return Err(Closed {
            status: Status::new(code_of_http_status(status.as_u16()), message),
            by: EndedBy::Violation,
            reached: Reached::Handler,
        });
    }
    let metadata = headers::to_metadata(headers);
    let metadata = metadata.map_err(|_| Closed::violation(Violation::Undecodable))?;
    Ok(Frame::Headers(metadata))
}
