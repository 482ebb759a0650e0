use alloc::string::String;

/// Whether this may name a group.
pub fn group_name_is_valid(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= 1024
}
/// Whether this may name an event.
pub fn event_name_is_valid(name: &str) -> bool {
    !name.is_empty()
}
/// The hub of this name, lower-cased; `None` if it is not a valid name.
pub fn hub_name(name: &str) -> Option<String> {
    Some(name.to_ascii_lowercase())
}
