//! What a client asks for, by the head of its request.

use bytes::Bytes;
use headwater_rpc::{
    RequestHeaders,
    http::{request, response},
};
use http::{Request, Response, StatusCode};
use quinn::{Connection, VarInt};

use crate::{
    codes, quic,
    sections::{Memo, ServerSections, Unfit, content_length},
    stream::{Event, Fault},
};

/// A call, as its client opens it.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) headers: RequestHeaders,
    /// How long the client says its messages are.
    pub(super) announced: Option<u64>,
}

/// The calls of a connection so far, by their header sections.
pub(super) type Known = Memo<Bytes, Opened>;

/// An answer in place of a call.
pub(super) enum Refusal {
    /// There is nobody to answer, or nothing to be said.
    Reset(VarInt),
    /// What is said in headers alone.
    Response(Box<Response<()>>),
}

/// Reads the first event of a stream.
pub(super) fn read(
    first: Result<Option<Event>, Fault>,
    sections: &ServerSections,
    known: &Known,
    connection: &Connection,
) -> Result<Opened, Refusal> {
    let section = match first {
        Ok(Some(Event::Headers(section))) => section,
        Ok(Some(Event::Data(_)) | None) => return Err(Refusal::Reset(codes::REQUEST_INCOMPLETE)),
        Err(Fault::TooLarge) => return Err(too_large()),
        Err(Fault::Reset(_) | Fault::Lost(_)) => {
            return Err(Refusal::Reset(codes::REQUEST_CANCELLED));
        }
        Err(Fault::Stream(code)) => return Err(Refusal::Reset(code)),
        Err(Fault::Connection(code)) => {
            quic::close(connection, code, "a stream of a request is not valid");
            return Err(Refusal::Reset(code));
        }
    };
    if let Some(opened) = known.get(&section) {
        return Ok(opened);
    }
    match sections.decode_request(&section) {
        Ok(request) => {
            let opened = open(request)?;
            let length = section.len();
            known.insert(section, opened.clone(), length);
            Ok(opened)
        }
        Err(Unfit::TooLarge) => Err(too_large()),
        Err(Unfit::Malformed) => Err(Refusal::Reset(codes::MESSAGE_ERROR)),
        Err(Unfit::Undecodable) => {
            quic::close(
                connection,
                codes::DECOMPRESSION_FAILED,
                "a header section is not valid",
            );
            Err(Refusal::Reset(codes::DECOMPRESSION_FAILED))
        }
    }
}

/// Takes every path; what is no gRPC call is refused before the application sees it.
fn open(request: Request<()>) -> Result<Opened, Refusal> {
    let (head, ()) = request.into_parts();
    let announced =
        content_length(&head.headers).map_err(|_| Refusal::Reset(codes::MESSAGE_ERROR))?;
    let headers = request::to_call(&head).map_err(Refusal::Response)?;
    Ok(Opened { headers, announced })
}

fn too_large() -> Refusal {
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Refusal::Response(Box::new(response::plain(status)))
}
