//! What may come when, in one direction of a call. It knows no role: requests and responses obey the same table.

/// Where one direction of a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Half {
    /// Nothing yet.
    Idle,
    /// Headers have passed; messages may follow.
    Open,
    /// It has ended; nothing more may come.
    Closed,
}

/// What passes in one direction of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The metadata at the beginning: once, and first.
    Headers,
    /// One message.
    Message,
    /// The end: of requests the half-close, of responses the status. Once, and last.
    End,
}

impl Half {
    /// All states, for tests and for documentation.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Open, Self::Closed];
}

impl Part {
    /// All parts, for tests and for documentation.
    pub const ALL: [Self; 3] = [Self::Headers, Self::Message, Self::End];
}

/// The state after this part, or `None` if the part is not allowed here.
///
/// | | headers | message | end |
/// |---|---|---|---|
/// | idle | open | – | closed (trailers only) |
/// | open | – | open | closed |
/// | closed | – | – | – |
pub const fn next(half: Half, part: Part) -> Option<Half> {
    match (half, part) {
        (Half::Idle, Part::Headers) | (Half::Open, Part::Message) => Some(Half::Open),
        (Half::Idle | Half::Open, Part::End) => Some(Half::Closed),
        (Half::Idle, Part::Message)
        | (Half::Open, Part::Headers)
        | (Half::Closed, Part::Headers | Part::Message | Part::End) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S4-08 and S4-09: every state and every part, legal or not.
    #[test]
    fn s4_09_every_state_and_part() {
        let expected = [
            (Half::Idle, Part::Headers, Some(Half::Open)),
            (Half::Idle, Part::Message, None),
            (Half::Idle, Part::End, Some(Half::Closed)),
            (Half::Open, Part::Headers, None),
            (Half::Open, Part::Message, Some(Half::Open)),
            (Half::Open, Part::End, Some(Half::Closed)),
            (Half::Closed, Part::Headers, None),
            (Half::Closed, Part::Message, None),
            (Half::Closed, Part::End, None),
        ];
        let mut cases = expected.iter();
        for half in Half::ALL {
            for part in Part::ALL {
                let case = (half, part, next(half, part));
                assert_eq!(Some(&case), cases.next(), "{half:?} {part:?}");
            }
        }
        assert_eq!(cases.next(), None, "the list holds every case once");
    }
}
