//! What a client asks for, by the head of its request.

use bytes::Bytes;
use headwater_rpc::{Code, RequestHeaders, Status, Trailers, http::headers};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
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
            let opened = open(&request)?;
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
fn open(request: &Request<()>) -> Result<Opened, Refusal> {
    if request.method() != Method::POST {
        let mut refusal = Response::new(());
        *refusal.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let allow = HeaderValue::from_static("POST");
        refusal.headers_mut().insert(header::ALLOW, allow);
        return Err(Refusal::Response(Box::new(refusal)));
    }
    let fields = request.headers();
    if !headers::is_grpc(fields) {
        return Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let announced = content_length(fields).map_err(|_| Refusal::Reset(codes::MESSAGE_ERROR))?;
    let timeout = headers::to_timeout(fields).map_err(refused)?;
    let metadata = headers::to_metadata(fields)
        .map_err(|error| refused(Status::new(Code::Internal, error.to_string())))?;
    Ok(Opened {
        headers: RequestHeaders {
            path: request.uri().path().into(),
            metadata,
            timeout,
            wait_for_ready: false,
        },
        announced,
    })
}

fn too_large() -> Refusal {
    plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
}

fn plain(status: StatusCode) -> Refusal {
    let mut response = Response::new(());
    *response.status_mut() = status;
    Refusal::Response(Box::new(response))
}

fn refused(status: Status) -> Refusal {
    Refusal::Response(Box::new(trailers_only(&Trailers::failed(status))))
}

/// A response whose status stands in its headers.
pub(super) fn trailers_only(trailers: &Trailers) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, headers::content_type());
    headers::append_trailers(trailers, headers);
    response
}
