//! One stream of a client, from its first frame to its last acknowledgement.

use std::{future::poll_fn, sync::Arc, time::Duration};

use headwater_rpc::{AcceptedStream, HandlerPermit};
use tokio::time::{Instant, timeout};

use super::{
    answer::{Answer, Answered},
    connection::Connection,
    inbound::{Handback, requests},
    request::{self, Opened, Refusal},
};
use crate::{
    codes,
    stream::{FrameReader, Writer},
};

/// What is read of a request after its answer, for its end to come without a word of this side.
const LINGER_BYTES: usize = 64 << 10;
/// How long that may take.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a stream to its end.
pub(super) async fn serve(
    (send, recv): (quinn::SendStream, quinn::RecvStream),
    connection: Arc<Connection>,
) {
    let _open = connection.open_stream();
    let writer = Writer::new(send);
    let mut reader = FrameReader::new(recv, connection.section_bytes_max);
    let first = timeout(
        connection.headers_timeout,
        poll_fn(|cx| reader.poll_event(cx)),
    );
    let opened = match first.await {
        Ok(first) => request::read(
            first,
            &connection.sections,
            &connection.known,
            &connection.quic,
        ),
        Err(_) => Err(Refusal::Reset(codes::REQUEST_CANCELLED)),
    };
    let permitted = opened.and_then(|opened| {
        let permit = connection.handlers.try_start(&opened.headers.path);
        // No handler has seen it, so the client may open it again (RFC 9114, 4.1.1).
        let permit = permit.ok_or(Refusal::Reset(codes::REQUEST_REJECTED))?;
        Ok((opened, permit))
    });
    match permitted {
        Ok(permitted) => call(permitted, reader, writer, &connection).await,
        Err(refusal) => refuse(refusal, reader, writer, &connection).await,
    }
}

async fn call(
    (opened, permit): (Opened, HandlerPermit),
    mut reader: FrameReader,
    writer: Writer,
    connection: &Connection,
) {
    reader.begin_body(opened.announced);
    let acceptor = &connection.acceptor;
    let handback = Arc::new(Handback::default());
    let inbound = requests(
        reader,
        connection.quic.clone(),
        acceptor.receive_message_bytes_max(),
        Arc::clone(&handback),
    );
    // Before the call's own clock begins.
    let timeout = opened.headers.timeout;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let peer = connection.peer.clone();
    let accepted = AcceptedStream::new(opened.headers, peer, Box::new(inbound));
    let outbound = acceptor.accept(accepted.permitted(permit));
    let mut answer = Answer::new(outbound, writer, &connection.sections, deadline);
    let answered = answer.run().await;
    let mut writer = answer.into_writer();
    if let Answered::Reset(code) = answered {
        writer.reset(code);
    }
    // The call has ended, so it lets go of its receiving half.
    let mut reader = poll_fn(|cx| handback.poll_take(cx)).await;
    match answered {
        Answered::Whole => part(reader, writer).await,
        Answered::Reset(code) => reader.stop(code),
    }
}

async fn refuse(
    refusal: Refusal,
    mut reader: FrameReader,
    mut writer: Writer,
    connection: &Connection,
) {
    let response = match refusal {
        Refusal::Reset(code) => {
            reader.stop(code);
            return writer.reset(code);
        }
        Refusal::Response(response) => response,
    };
    let Ok(frame) = connection.sections.encode_response(*response) else {
        reader.stop(codes::INTERNAL_ERROR);
        return writer.reset(codes::INTERNAL_ERROR);
    };
    writer.push(frame);
    if poll_fn(|cx| writer.poll_flush(cx)).await.is_ok() {
        writer.finish();
    }
    part(reader, writer).await;
}

/// Reads what is left of a request that was answered, within bounds, and waits until its client has the answer. A client
/// that goes on is told that nobody wants it (RFC 9114, 4.1); the answer is never reset, for that could overtake it.
async fn part(mut reader: FrameReader, mut writer: Writer) {
    let mut left = LINGER_BYTES;
    // Too late is as good as too much.
    let _ = timeout(LINGER, poll_fn(|cx| reader.poll_discard(cx, &mut left))).await;
    reader.stop(codes::NO_ERROR);
    // It has it, wants no more, or is gone.
    let _ = poll_fn(|cx| writer.poll_ended(cx)).await;
}
