//! How a call of the original frames ends: well, or with an error that the original does not have.

use alloc::{format, string::String};

use crate::{Code, Status};

/// What an error text begins with.
const ERROR: &str = "ERROR";
/// The close codes of failed calls begin here: those up to 4999 are for applications (RFC 6455, section 7.4.2).
const CLOSE_CODES: u16 = 4000;
/// Normal closure (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;

/// How the end of a call is told where frames have no call ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ending {
    /// By closing the WebSocket, once no call of the socket is open: zrpc since March 2016.
    #[default]
    CloseFrame,
    /// By the text message `CLOSE`, one for each call; the socket stays open: zrpc before that.
    CloseText,
}

/// The text message that says how a call failed: `ERROR`, the number and the name of the code, and the message of the
/// status, with one space between them. Details are not told.
pub fn error_text(status: &Status) -> String {
    let (number, name) = (status.code.number(), status.code.name());
    format!("{ERROR} {number} {name} {}", status.message)
}

/// The status that an [`error_text`] tells. `None` if it is another text. A number that is no code is `UNKNOWN`.
pub fn parse_error_text(text: &str) -> Option<Status> {
    let mut words = text.splitn(4, ' ');
    if words.next() != Some(ERROR) {
        return None;
    }
    let number: i64 = words.next()?.parse().ok()?;
    // The name is for people: the number decides.
    words.next()?;
    let code = Code::from_number(number)?;
    Some(Status::new(code, words.next().unwrap_or_default()))
}

/// The close code of a socket whose calls ended like this: 1000, or 4000 plus the number of the code.
pub fn close_code(outcome: Result<(), Code>) -> u16 {
    match outcome {
        Ok(()) => NORMAL,
        Err(code) => CLOSE_CODES + u16::from(code.number()),
    }
}

/// What a close frame says about the call that it ends, in place of an [`error_text`]. One without a code is the original's
/// regular end. Codes that are not of this protocol are a lost connection.
///
/// # Errors
///
/// The status of the call.
pub fn close_outcome(code: Option<u16>, reason: &str) -> Result<(), Status> {
    let Some(number) = code.filter(|code| *code != NORMAL) else {
        return Ok(());
    };
    let mut codes = Code::ALL.into_iter();
    let code = codes.find(|code| close_code(Err(*code)) == number);
    let code = code.ok_or_else(|| {
        let message = format!("the peer closed the socket with code {number}: {reason}");
        Status::new(Code::Unavailable, message)
    })?;
    Err(Status::new(code, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_20_an_error_text_has_the_golden_form_and_is_read_back() {
        let status = Status::new(Code::Unimplemented, "there is no method /zrpc/typo");
        let text = error_text(&status);
        assert_eq!(text, "ERROR 12 UNIMPLEMENTED there is no method /zrpc/typo");
        assert_eq!(parse_error_text(&text), Some(status));
        for code in Code::ALL {
            let empty = Status::new(code, "");
            assert_eq!(parse_error_text(&error_text(&empty)), Some(empty));
        }
    }

    /// S2-20: old servers make remarks in text; they are no errors.
    #[test]
    fn s2_20_other_texts_are_no_errors() {
        for text in [
            "",
            "CLOSE",
            "Sleeping...",
            "ERROR",
            "ERROR 5",
            "ERRORS 5 A b",
            "ERROR x Y z",
            "ERROR 0 OK z",
        ] {
            assert_eq!(parse_error_text(text), None, "{text:?}");
        }
        let unknown = parse_error_text("ERROR 99 NEW words").map(|status| status.code);
        assert_eq!(unknown, Some(Code::Unknown), "a code of a later version");
    }

    /// S2-05, S2-20: a close frame says the same as the text before it.
    #[test]
    fn s2_05_a_close_frame_tells_the_outcome() {
        assert_eq!(close_outcome(None, ""), Ok(()), "the original's");
        assert_eq!(close_outcome(Some(close_code(Ok(()))), ""), Ok(()));
        for code in Code::ALL {
            let number = close_code(Err(code));
            assert!(crate::websocket::close_code_is_valid(number));
            assert_eq!(
                close_outcome(Some(number), "why"),
                Err(Status::new(code, "why"))
            );
        }
        for foreign in [1001, 1006, 1011, 3000, 4000, 4017, 4999] {
            let outcome = close_outcome(Some(foreign), "").map_err(|status| status.code);
            assert_eq!(outcome, Err(Code::Unavailable), "close code {foreign}");
        }
    }
}
