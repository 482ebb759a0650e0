//! One request of a service that is mounted beside the router, in a task of its own.

use std::{
    error::Error,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use headwater_rpc::Payload;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body as _, Frame, SizeHint};
use tonic::body::Body;
use tower::ServiceExt as _;

use super::{connection::OpenStream, responder::poll_room, service::Mount};

/// Answers the request. Ends early if the client wants no more, or is gone.
pub(super) async fn serve(
    mount: Mount,
    request: Request<RecvStream>,
    mut respond: SendResponse<Payload>,
    open: OpenStream,
) {
    let request = request.map(|stream| Body::new(RequestBody { stream }));
    let mut answer = pin!(mount.oneshot(request));
    let answered = poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
        Poll::Pending => respond.poll_reset(cx).map(|_| None),
    });
    let Some(response) = answered.await else {
        return;
    };
    let (mut head, mut body) = response.into_parts();
    let ends = body.is_end_stream();
    to_http2(&mut head.headers);
    open.connection().announce(&mut head.headers);
    if !ends && let Some(length) = body.size_hint().exact() {
        let length = HeaderValue::from(length);
        head.headers.entry(header::CONTENT_LENGTH).or_insert(length);
    }
    let Ok(mut stream) = respond.send_response(Response::from_parts(head, ()), ends) else {
        return respond.send_reset(Reason::INTERNAL_ERROR);
    };
    if !ends {
        // Whatever broke it, there is nobody to tell.
        let _ = poll_fn(|cx| poll_pipe(&mut body, &mut stream, cx)).await;
    }
}

/// Removes what says something of a connection of HTTP/1 (RFC 9113, 8.2.2).
fn to_http2(headers: &mut HeaderMap) {
    if let Some(named) = headers.remove(header::CONNECTION) {
        for name in named.to_str().unwrap_or_default().split(',') {
            headers.remove(name.trim());
        }
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
    for name in [header::TRANSFER_ENCODING, header::UPGRADE, header::TE] {
        headers.remove(name);
    }
}

/// Sends a body to its end, as the client's windows allow it.
fn poll_pipe(
    body: &mut Body,
    stream: &mut SendStream<Payload>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), h2::Error>> {
    loop {
        // Of what is larger than a byte `h2` keeps the rest, and has no room until it is gone.
        if ready!(poll_room(stream, 1, cx)).is_err() {
            return Poll::Ready(Ok(()));
        }
        let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
            // While there is nothing to send, only this tells that the client wants no more.
            return stream.poll_reset(cx).map_ok(|_| ());
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(status)) => {
                stream.send_reset(reason_of(&status));
                return Poll::Ready(Ok(()));
            }
            None => return Poll::Ready(stream.send_data(Payload::default(), true)),
        };
        match frame.into_data().map_err(Frame::into_trailers) {
            Ok(data) => {
                let last = body.is_end_stream();
                stream.send_data(data.into(), last)?;
                if last {
                    return Poll::Ready(Ok(()));
                }
            }
            Err(Ok(trailers)) => return Poll::Ready(stream.send_trailers(trailers)),
            // A kind of frame that HTTP/2 has not.
            Err(Err(_)) => {}
        }
    }
}

/// The reset that a body asks for which fails.
fn reason_of(error: &(dyn Error + 'static)) -> Reason {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(reason) = cause.downcast_ref().and_then(h2::Error::reason) {
            return reason;
        }
        next = cause.source();
    }
    Reason::INTERNAL_ERROR
}

/// The body of a request.
struct RequestBody {
    stream: RecvStream,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let stream = &mut self.stream;
        if let Some(data) = ready!(stream.poll_data(cx)) {
            let data = data?;
            // It fails only for more than came.
            let _ = stream.flow_control().release_capacity(data.len());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|it| it.map(Frame::trailers)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() {
            return SizeHint::with_exact(0);
        }
        SizeHint::default()
    }
}
