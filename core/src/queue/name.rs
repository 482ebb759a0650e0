//! Names of channels and groups.

use alloc::sync::Arc;
use core::fmt;

use headwater_proto::{Code, Status};

/// The name of a channel or of a group, checked: at most [`Name::BYTES_MAX`] bytes. May be empty. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, in bytes of UTF-8 (`push_channel.proto`).
    pub const BYTES_MAX: usize = 256;

    /// Checks a name that a client sent.
    ///
    /// # Errors
    ///
    /// If it is too long. Nothing of it is copied, or repeated in the error.
    pub fn new(name: &str) -> Result<Self, NameTooLong> {
        if name.len() > Self::BYTES_MAX {
            return Err(NameTooLong);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the name of the group without a name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A client used a name of more than [`Name::BYTES_MAX`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a channel or group has at most {} bytes", Name::BYTES_MAX)]
pub struct NameTooLong;

impl From<NameTooLong> for Status {
    /// `INVALID_ARGUMENT`.
    fn from(error: NameTooLong) -> Self {
        Self::new(Code::InvalidArgument, alloc::format!("{error}"))
    }
}
