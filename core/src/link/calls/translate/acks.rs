//! Answers to events.

use alloc::string::String;

use headwater_proto::{
    Code, Status,
    v1::{self, ack::Answer},
    wps_rpc::{AckConnectMessage, AckConnectRequest, AckEventMessage, AckMessageRequest},
};

use super::{error, message, payload, status};

/// The call that an answer goes out in.
#[derive(Debug, Clone, PartialEq)]
pub enum AckRequest {
    /// [`ACK_CONNECT`](crate::link::calls::ACK_CONNECT).
    Connect(AckConnectRequest),
    /// [`ACK_MESSAGE`](crate::link::calls::ACK_MESSAGE).
    Message(AckMessageRequest),
}

/// The answer as a call: an accept or a reject answers a connect, a reply or an error a message. The number of the answer
/// is left out.
///
/// # Errors
///
/// [`Code::InvalidArgument`] if there is no answer, or its payload is not what its type says.
pub fn ack_request(ack: v1::Ack, hub: &str) -> Result<AckRequest, Status> {
    let missing = || Status::new(Code::InvalidArgument, "the ack holds no answer");
    let v1::EventId {
        connection_id,
        number,
    } = ack.id.unwrap_or_default();
    let hub = String::from(hub);
    let connect = |connection_id, answer, hub| {
        AckRequest::Connect(AckConnectRequest {
            connection_id,
            ack_connect_message: Some(answer),
            event_id: number,
            hub,
        })
    };
    let event = |connection_id, answer, hub| {
        AckRequest::Message(AckMessageRequest {
            connection_id,
            ack_event_message: Some(answer),
            event_id: number,
            hub,
        })
    };
    Ok(match ack.answer.ok_or_else(missing)? {
        Answer::Accept(accept) => connect(connection_id, accepted(accept), hub),
        Answer::Reject(reject) => connect(connection_id, rejected(reject), hub),
        Answer::Reply(reply) => event(connection_id, replied(reply)?, hub),
        Answer::Error(status) => event(connection_id, failed(status), hub),
    })
}

/// The answer to a connect: an error refuses the client, and nothing at all lets it in.
pub fn connect_answer(message: Option<AckConnectMessage>) -> Answer {
    let message = message.unwrap_or_default();
    if let Some(error) = message.error {
        return Answer::Reject(v1::Reject {
            status: Some(status(error)),
        });
    }
    Answer::Accept(v1::Accept {
        user_id: message.user_id,
        groups: message.groups,
        roles: message.roles,
        subprotocol: message.subprotocol,
        state: message.state,
    })
}

/// The answer to a message: an error is the client's to hear, and nothing at all says that it was handled.
pub fn message_answer(message: Option<AckEventMessage>) -> Answer {
    let message = message.unwrap_or_default();
    if let Some(error) = message.error {
        return Answer::Error(status(error));
    }
    Answer::Reply(v1::Reply {
        payload: message.message.and_then(payload),
        state: message.state,
    })
}

fn accepted(accept: v1::Accept) -> AckConnectMessage {
    AckConnectMessage {
        user_id: accept.user_id,
        groups: accept.groups,
        roles: accept.roles,
        subprotocol: accept.subprotocol,
        state: accept.state,
        ..AckConnectMessage::default()
    }
}

fn rejected(reject: v1::Reject) -> AckConnectMessage {
    AckConnectMessage {
        error: Some(error(reject.status.unwrap_or_default())),
        ..AckConnectMessage::default()
    }
}

fn replied(reply: v1::Reply) -> Result<AckEventMessage, Status> {
    Ok(AckEventMessage {
        message: reply.payload.map(message).transpose()?,
        state: reply.state,
        ..AckEventMessage::default()
    })
}

fn failed(status: v1::Status) -> AckEventMessage {
    AckEventMessage {
        error: Some(error(status)),
        ..AckEventMessage::default()
    }
}
