use alloc::string::String;

/// The longest name of a group, in characters.
const GROUP_CHARS_MAX: usize = 1024;
/// The longest name of an event or a hub, in bytes (both are ASCII).
const NAME_BYTES_MAX: usize = 128;

/// Whether this may name a group: 1 to 1024 characters, not only white space, and no control characters, which would
/// travel on into logs and into the names of other systems.
pub fn group_name_is_valid(name: &str) -> bool {
    !name.trim().is_empty()
        && !name.chars().any(char::is_control)
        && (name.len() <= GROUP_CHARS_MAX || name.chars().count() <= GROUP_CHARS_MAX)
}

/// Whether this may name an event: a letter, then up to 127 letters, digits, `_`, `.` and `-`, all of ASCII.
pub fn event_name_is_valid(name: &str) -> bool {
    is_name(name, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
    })
}

/// The hub of this name, lower-cased, since hubs are looked up without regard to case.
///
/// `None` if it is not a valid name: a letter, then up to 127 letters, digits and `_`, `` ` ``, `,`, `.`, `[`, `]`, all
/// of ASCII.
pub fn hub_name(name: &str) -> Option<String> {
    is_name(name, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'`' | b',' | b'.' | b'[' | b']')
    })
    .then(|| name.to_ascii_lowercase())
}

fn is_name(name: &str, allowed: fn(u8) -> bool) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_name_has_1_to_1024_characters_of_any_script() {
        for name in ["g", "über", "a b", ">", "*.>", &"ж".repeat(1024)] {
            assert!(group_name_is_valid(name), "{name:?} is refused");
        }
        for name in ["", " ", "\u{2003}\u{a0}", &"ж".repeat(1025)] {
            assert!(!group_name_is_valid(name), "{name:?} is accepted");
        }
    }

    #[test]
    fn r5_17_a_group_name_has_no_control_characters() {
        for name in ["a\nb", "a\0", "\u{7f}a", "a\u{85}b"] {
            assert!(!group_name_is_valid(name), "{name:?} is accepted");
        }
    }

    #[test]
    fn an_event_name_is_a_letter_and_up_to_127_more() {
        for name in ["e", "Message", "a.b-c_9", &"a".repeat(128)] {
            assert!(event_name_is_valid(name), "{name:?} is refused");
        }
        for name in ["", "9a", "_a", "a b", "a/b", "é", "a\n", &"a".repeat(129)] {
            assert!(!event_name_is_valid(name), "{name:?} is accepted");
        }
    }

    #[test]
    fn a_hub_name_is_lower_cased() {
        assert_eq!(
            hub_name("Chat.v1_[a],`B`").as_deref(),
            Some("chat.v1_[a],`b`")
        );
        let longest = "a".repeat(128);
        assert_eq!(hub_name(&longest), Some(longest.clone()));
        for name in ["", "1a", "a-b", "a/b", "ä", "a\0", &"a".repeat(129)] {
            assert_eq!(hub_name(name), None, "{name:?} is accepted");
        }
    }
}
