//! What a channel has had lately.

use std::fmt::Write as _;

use headwater_core::queue::Kept;
use headwater_proto::{
    Status,
    push_channel::{HistoryReply, HistoryRequest, MessageReply},
};
use prost::Message as _;

use super::Caller;
use crate::state::ServiceState;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;
/// Of the messages of one page, unless it is only one. They stand in it twice.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// What one reply may be, by the usual limit of a message.
const REPLY_BYTES_MAX: usize = 4 << 20;

pub(super) fn answer(
    service: &ServiceState,
    caller: &Caller,
    request: HistoryRequest,
) -> Result<HistoryReply, Status> {
    let channel = caller.channel(&request.channel)?;
    let limit = match usize::try_from(request.limit) {
        Ok(0) => LIMIT_DEFAULT,
        asked => asked.unwrap_or(LIMIT_MAX).min(LIMIT_MAX),
    };
    let page = service
        .channels
        .history(&channel, request.from_offset, limit, PAGE_BYTES_MAX);
    let messages = page.messages.iter().map(entry);
    Ok(reply(messages.collect(), page.next_offset))
}

fn entry(kept: &Kept) -> MessageReply {
    // It was encoded here; and if it could not be read, its place would still be told.
    MessageReply::decode(kept.message.clone()).unwrap_or_else(|_| MessageReply {
        offset: kept.offset,
        ..MessageReply::default()
    })
}

fn reply(messages: Vec<MessageReply>, next_offset: u64) -> HistoryReply {
    let mut text = String::new();
    for message in &messages {
        describe(message, &mut text);
    }
    let mut reply = HistoryReply {
        message: text,
        messages,
        next_offset,
    };
    if reply.encoded_len() > REPLY_BYTES_MAX {
        // One message, and it is huge: once is enough.
        reply.message = String::new();
    }
    reply
}

/// A line for a message of the first version; two for a chat's.
fn describe(message: &MessageReply, text: &mut String) {
    let MessageReply {
        message: first,
        email,
        header,
        text: body,
        time,
        offset: _,
        redelivered: _,
    } = message;
    let is_chat = [email, header, body, time]
        .iter()
        .any(|word| !word.is_empty());
    let written = if is_chat {
        writeln!(text, "[{time}] {first} <{email}>: {header}\n{body}")
    } else {
        writeln!(text, "{first}")
    };
    written.expect("a String grows as needed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_21_history_is_text_for_people_too() {
        let plain = MessageReply {
            message: "open the door".into(),
            ..MessageReply::default()
        };
        let chat = MessageReply {
            message: "ann".into(),
            email: "ann@example.org".into(),
            header: "greeting".into(),
            text: "hello".into(),
            time: "noon".into(),
            ..MessageReply::default()
        };
        let text = reply(vec![plain, chat], 0).message;
        let expected = "open the door\n[noon] ann <ann@example.org>: greeting\nhello\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_page_of_one_huge_message_fits_the_usual_limit() {
        let huge = MessageReply {
            message: "x".repeat((4 << 20) - 100),
            offset: u64::MAX,
            ..MessageReply::default()
        };
        let reply = reply(vec![huge.clone()], 7);
        assert!(reply.encoded_len() <= REPLY_BYTES_MAX);
        assert_eq!(reply.messages, [huge]);
    }
}
