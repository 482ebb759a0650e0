//! What is recorded of a call.

use headwater_proto::{Metadata, metadata::is_secret};

/// What a span has beside what every span has. Default: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TracingConfig {
    /// An event `rpc.message` for each message: `rpc.message.type` (`SENT` or `RECEIVED`), `rpc.message.id` (counted from
    /// 1 in each direction) and `rpc.message.uncompressed_size` (bytes). A message that is sent is counted when it is
    /// handed over, and again in the rare case that it was refused for want of room.
    pub messages: bool,
    /// The keys of the request's metadata whose values are recorded. `authorization`, `proxy-authorization`, `cookie` and
    /// `set-cookie` never are.
    pub request_metadata: Vec<String>,
    /// The same of the response's metadata, initial and trailing.
    pub response_metadata: Vec<String>,
    /// Client: who is called, such as the host of its URL.
    pub server_address: Option<String>,
}

impl TracingConfig {
    /// Without what is never recorded.
    pub(super) fn without_secrets(mut self) -> Self {
        let is_public = |key: &String| !is_secret(key);
        self.request_metadata.retain(is_public);
        self.response_metadata.retain(is_public);
        self
    }
}

/// What these keys have in these metadata.
pub(super) fn chosen(keys: &[String], metadata: &Metadata) -> Vec<(String, String)> {
    let is_chosen = |key: &str| keys.iter().any(|chosen| chosen == key);
    let entries = metadata.iter().filter(|(key, _)| is_chosen(key));
    entries
        .map(|(key, value)| (key.to_owned(), value.to_wire()))
        .collect()
}
