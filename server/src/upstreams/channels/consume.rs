//! The calls that messages are pushed on.

use std::{ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use headwater_core::queue::{ConsumerKey, Input, Left, Mode, Name, NewConsumer, Taking};
use headwater_proto::{
    Code, Status,
    push_channel::{self, ConnRequest, ConsumeRequest, Offsets, consume_request},
};
use headwater_rpc::{Cancellation, EndedBy, IncomingCall, Receiver};
use tokio::time::timeout;

use super::Caller;
use crate::{
    channels::{Consumer, Subscription},
    state::ServiceState,
    upstreams::{decode, server_stops, stopping},
};

/// `PushMessageStream`: pushes to one consumer, which has taken what its connection has.
pub(super) async fn push(service: Arc<ServiceState>, call: IncomingCall) {
    let Some(mut begun) = begin(&service, call).await else {
        return;
    };
    // The machine of the call lets no other one through.
    let request = begun.requests.swap_remove(0);
    let subscribed =
        decode(request).and_then(|request| subscribe(&service, &begun, &request, Taking::Written));
    match subscribed {
        Ok(subscription) => tell_written(subscription, &begun).await,
        Err(status) => begun.consumer.end(Err(status)),
    }
}

/// Tells the channel what the connection has, until the call is over.
async fn tell_written(subscription: Subscription, begun: &Begun) {
    let Begun {
        consumer,
        receiver,
        cancellation,
        ..
    } = begun;
    let mut told = 0;
    loop {
        tokio::select! {
            biased;
            () = consumer.keep_sending() => {}
            () = stopping(cancellation) => {
                subscription.leave(Left::Broken);
                return consumer.end(Err(server_stops()));
            }
            taken = consumer.sender().taken_beyond(told) => {
                if taken == told {
                    return subscription.leave(how_left(receiver));
                }
                let messages = u32::try_from(taken - told).unwrap_or(u32::MAX);
                let consumer = subscription.key();
                subscription.tell([Input::Written { consumer, messages }]);
                told = taken;
            }
        }
    }
}

/// `Consume`: the consumer says itself what it has taken.
pub(super) async fn run(service: Arc<ServiceState>, call: IncomingCall) {
    let Some(mut begun) = begin(&service, call).await else {
        return;
    };
    let request = begun.requests.remove(0);
    let consumer = Arc::clone(&begun.consumer);
    match open(&service, &begun, request) {
        Ok(subscription) => {
            let cancellation = begun.cancellation.clone();
            tokio::select! {
                biased;
                () = consume(subscription, begun) => {}
                () = stopping(&cancellation) => consumer.end(Err(server_stops())),
            }
        }
        Err(status) => consumer.end(Err(status)),
    }
}

fn open(service: &ServiceState, begun: &Begun, request: Bytes) -> Result<Subscription, Status> {
    let Some(consume_request::Request::Open(request)) = decode::<ConsumeRequest>(request)?.request
    else {
        let message = "the first request does not open the consumer";
        return Err(Status::new(Code::InvalidArgument, message));
    };
    let window = request.window;
    subscribe(service, begun, &request, Taking::Acknowledged { window })
}

/// Hears what the consumer says, beginning with this, until the call is over.
async fn consume(subscription: Subscription, begun: Begun) {
    let Begun {
        consumer,
        mut receiver,
        requests: mut batch,
        ..
    } = begun;
    loop {
        let inputs: Result<Vec<_>, Status> = batch
            .drain(..)
            .map(|request| said(subscription.key(), request))
            .collect();
        match inputs {
            Ok(inputs) if inputs.is_empty() => {}
            Ok(inputs) => subscription.tell(inputs),
            Err(status) => {
                subscription.leave(Left::Cancelled);
                return consumer.end(Err(status));
            }
        }
        let received = tokio::select! {
            biased;
            () = consumer.keep_sending() => continue,
            received = receiver.next_batch(&mut batch) => received,
        };
        match received {
            // It wants no more, and what it has not taken goes to the next.
            Ok(0) => {
                subscription.leave(Left::Cancelled);
                return consumer.end(Ok(()));
            }
            Ok(_) => {}
            Err(_) => return subscription.leave(how_left(&receiver)),
        }
    }
}

/// What a consumer says of messages.
fn said(consumer: ConsumerKey, request: Bytes) -> Result<Input, Status> {
    match decode::<ConsumeRequest>(request)?.request {
        Some(consume_request::Request::Taken(offsets)) => Ok(Input::Taken {
            consumer,
            ranges: ranges(offsets),
        }),
        Some(consume_request::Request::Returned(offsets)) => Ok(Input::Returned {
            consumer,
            ranges: ranges(offsets),
        }),
        Some(consume_request::Request::Open(_)) => Err(Status::new(
            Code::InvalidArgument,
            "the consumer is open already",
        )),
        // Of a later version: it changes nothing here.
        None => Ok(Input::Taken {
            consumer,
            ranges: Vec::new(),
        }),
    }
}

fn ranges(offsets: Offsets) -> Vec<RangeInclusive<u64>> {
    let ranges = offsets.ranges.into_iter();
    ranges.map(|range| range.from..=range.to).collect()
}

/// A consumer's call, of which something has come.
struct Begun {
    caller: Caller,
    consumer: Arc<Consumer>,
    receiver: Receiver,
    cancellation: Cancellation,
    /// The first request, and what came with it.
    requests: Vec<Bytes>,
}

/// Waits for the first request. `None` if the caller is refused or none comes, of which the client is told.
async fn begin(service: &ServiceState, call: IncomingCall) -> Option<Begun> {
    let IncomingCall {
        metadata,
        mut receiver,
        sender,
        cancellation,
        ..
    } = call;
    let consumer = Arc::new(Consumer::new(sender));
    // Before anything is waited for.
    let caller = match Caller::of(service, &metadata) {
        Ok(caller) => caller,
        Err(status) => {
            consumer.end(Err(status));
            return None;
        }
    };
    drop(metadata);
    let mut requests = Vec::new();
    let coming = receiver.next_batch(&mut requests);
    let (code, message) = match timeout(service.config.link.register_timeout, coming).await {
        Ok(Ok(0)) => (Code::InvalidArgument, "no request came"),
        Ok(Ok(_)) => {
            return Some(Begun {
                caller,
                consumer,
                receiver,
                cancellation,
                requests,
            });
        }
        // The call is over.
        Ok(Err(_)) => return None,
        Err(_) => (Code::DeadlineExceeded, "no request came in time"),
    };
    consumer.end(Err(Status::new(code, message)));
    None
}

fn subscribe(
    service: &ServiceState,
    begun: &Begun,
    request: &ConnRequest,
    taking: Taking,
) -> Result<Subscription, Status> {
    let channel = begun.caller.channel(&request.channel)?;
    let mode = match push_channel::Mode::try_from(request.mode) {
        Ok(push_channel::Mode::Unspecified) => None,
        Ok(push_channel::Mode::Shared) => Some(Mode::Shared),
        Ok(push_channel::Mode::Fanout) => Some(Mode::Fanout),
        Err(_) => {
            let message = "there is no such mode";
            return Err(Status::new(Code::InvalidArgument, message));
        }
    };
    let new = NewConsumer {
        group: Name::new(&request.group)?,
        mode,
        from_offset: request.from_offset,
        taking,
    };
    let epoch = &request.epoch;
    let channels = &service.channels;
    channels.subscribe(&channel, new, epoch, &begun.consumer)
}

/// How a call ended, for what was written to it and may not have arrived.
fn how_left(receiver: &Receiver) -> Left {
    match receiver.ended().map(|ended| ended.by) {
        Some(EndedBy::Peer | EndedBy::Status) => Left::Cancelled,
        // A loss, or what is not known not to be one: rather twice than not at all. A deadline passes on this side too when
        // nobody is there any more.
        Some(_) | None => Left::Broken,
    }
}
