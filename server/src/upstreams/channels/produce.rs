//! `Produce`: the messages of one producer, as many as it likes.

use std::{future::poll_fn, iter::repeat_n, mem, pin::pin, sync::Arc, task::Poll};

use headwater_proto::{
    Code, Status,
    push_channel::{ProduceReply, Refusal, SubmitRequest, produce_reply},
};
use headwater_rpc::{
    IncomingCall, Metadata, Sender,
    stub::{Messages, ProstCodec, Sink},
};
use tokio::task::yield_now;

use super::Caller;
use crate::{channels::Submission, clock::unix_seconds, state::ServiceState};

/// Messages of one turn: so long do others wait for the channel at most.
const TURN_MAX: usize = 1024;
/// Replies that may wait for the connection; with more of them nothing is read.
const REPLIES_MAX: u64 = 1024;

pub(super) async fn run(service: Arc<ServiceState>, call: IncomingCall) {
    let IncomingCall {
        metadata,
        receiver,
        sender,
        ..
    } = call;
    let outcome = match Caller::of(&service, &metadata) {
        Ok(caller) => {
            drop(metadata);
            // They say that the producer is let in.
            let _ = sender.send_headers(Metadata::new());
            let requests = Messages::new::<ProstCodec>(receiver);
            produce(&service, &caller, requests, &sender).await
        }
        Err(status) => Err(status),
    };
    // An ended call has told its peer already.
    let _ = sender.finish(outcome, Metadata::new());
}

/// Answers the requests until there are no more, and says how the call ends.
async fn produce(
    service: &ServiceState,
    caller: &Caller,
    mut requests: Messages<SubmitRequest>,
    sender: &Sender,
) -> Result<(), Status> {
    let sink = Sink::new::<ProstCodec>(sender.clone());
    let mut leaving = pin!(service.channels.leaving());
    let (mut turn, mut replies) = (Vec::new(), Vec::new());
    let mut replied = 0;
    loop {
        tokio::select! {
            biased;
            // Only here, where all that was taken is answered.
            status = &mut leaving => return Err(status),
            received = next_turn(&mut requests, &mut turn) => received?,
        }
        if turn.is_empty() {
            return Ok(());
        }
        caller.check_time(unix_seconds())?;
        let submitted = submit(service, caller, &mut turn, &mut replies);
        sink.send_all(&replies).await?;
        submitted?;
        replied += replies.len() as u64;
        if let Some(enough) = replied.checked_sub(REPLIES_MAX + 1) {
            sender.taken_beyond(enough).await;
        }
        if turn.len() == TURN_MAX {
            // One that says a lot lets others have their say.
            yield_now().await;
        }
        turn.clear();
        replies.clear();
    }
}

/// Takes the requests that are there, as many as a turn has, waiting for the first; none at the end.
///
/// # Cancel safety
///
/// Nothing is lost.
async fn next_turn(
    requests: &mut Messages<SubmitRequest>,
    turn: &mut Vec<SubmitRequest>,
) -> Result<(), Status> {
    poll_fn(|cx| {
        while turn.len() < TURN_MAX {
            match requests.poll_message(cx) {
                Poll::Ready(Ok(Some(request))) => turn.push(request),
                Poll::Ready(Ok(None)) => break,
                // What came before comes first; this is said again.
                Poll::Ready(Err(_)) | Poll::Pending if !turn.is_empty() => break,
                Poll::Ready(Err(status)) => return Poll::Ready(Err(status)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Puts messages into their channels, those that follow one another to the same channel together, and says what became of
/// each of them.
///
/// # Errors
///
/// The service is leaving: those without a reply are in no channel.
fn submit(
    service: &ServiceState,
    caller: &Caller,
    turn: &mut [SubmitRequest],
    replies: &mut Vec<ProduceReply>,
) -> Result<(), Status> {
    for run in turn.chunk_by_mut(|one, next| one.channel == next.channel) {
        let count = run.len();
        match submit_to_one(service, caller, run) {
            Ok(results) => replies.extend(results.into_iter().map(reply)),
            Err(status) if status.code == Code::Unavailable => return Err(status),
            Err(status) => replies.extend(repeat_n(reply(Err(status)), count)),
        }
    }
    Ok(())
}

fn submit_to_one(
    service: &ServiceState,
    caller: &Caller,
    run: &mut [SubmitRequest],
) -> Result<Vec<Result<u64, Status>>, Status> {
    let name = run.first().map_or("", |request| &request.channel);
    let channel = caller.channel(name)?;
    let messages = run.iter_mut().map(mem::take).map(Submission::new);
    service.channels.submit(&channel, messages.collect())
}

fn reply(result: Result<u64, Status>) -> ProduceReply {
    let result = match result {
        Ok(offset) => produce_reply::Result::Offset(offset),
        Err(status) => produce_reply::Result::Refused(Refusal {
            code: status.code.number().into(),
            message: status.message,
        }),
    };
    ProduceReply {
        result: Some(result),
    }
}
