//! `json.webpubsub.azure.v1`: one JSON object a text frame.
//!
//! Two kinds of fault are told apart. A message that has not the shape of a request (not JSON, an unknown `type`, a
//! property missing or of the wrong JSON type, data that is not what `dataType` says) is [`Malformed`] and ends the
//! connection. A request of the right shape with a value that cannot be served (the name of a group or event, `metadata`,
//! `ttlSeconds`) is [`Operation::Invalid`], which costs its sender no more than a failed ack.

mod read;
mod write;

pub(super) use read::decode;
pub(super) use write::encode;

pub(super) const NAME: &str = "json.webpubsub.azure.v1";
