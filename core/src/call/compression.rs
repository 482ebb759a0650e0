//! Which compression the two sides of a call agree on, as gRPC's `compression.md` has it. Only decided here: a driver
//! compresses and decompresses.
//!
//! The client says with its request what its messages are compressed with (`grpc-encoding`) and what it takes
//! (`grpc-accept-encoding`); the server answers in an encoding that the client takes, which need not be the same. Both
//! are metadata on every transport, and applications never see them.

#[cfg(test)]
mod tests;

use core::fmt;

use alloc::{format, string::ToString};

use headwater_proto::{Code, Metadata, Status};

use super::parts::{Trailers, Violation};

const ENCODING: &str = "grpc-encoding";
const ACCEPTED: &str = "grpc-accept-encoding";

/// How messages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// Not at all.
    #[default]
    Identity,
    /// RFC 1952.
    Gzip,
    /// The zlib format of RFC 1950, which gRPC calls deflate.
    Deflate,
    /// RFC 8878.
    Zstd,
}

impl Encoding {
    /// All of them, the one that is no compression first.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Gzip, Self::Deflate, Self::Zstd];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    /// The encoding of this name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Identity => 0,
            Self::Gzip => 1,
            Self::Deflate => 2,
            Self::Zstd => 4,
        }
    }
}

/// A set of encodings. Identity is in every one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Encodings(u8);

impl Encodings {
    /// No compression.
    pub const NONE: Self = Self(0);
    /// All encodings.
    pub const ALL: Self = Self(7);

    /// This set with one more.
    #[must_use]
    pub const fn with(self, encoding: Encoding) -> Self {
        Self(self.0 | encoding.bit())
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether this one is in the set.
    pub const fn contains(self, encoding: Encoding) -> bool {
        self.0 & encoding.bit() == encoding.bit()
    }

    /// The encodings in the set, in the order of [`Encoding::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Encoding> {
        let all = Encoding::ALL.into_iter();
        all.filter(move |encoding| self.contains(*encoding))
    }

    /// What of this list is known; whatever else a peer takes is of no use.
    fn from_list(list: &str) -> Self {
        let names = list.split(',').map(str::trim);
        names
            .filter_map(Encoding::from_name)
            .fold(Self::NONE, Self::with)
    }
}

/// As on the wire: `identity,gzip,deflate`.
impl fmt::Display for Encodings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, encoding) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", encoding.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Encodings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What one side of a call knows of both.
#[derive(Debug)]
pub(super) struct Agreement {
    /// What this side's messages are compressed with.
    pub(super) send: Encoding,
    /// What the peer's messages are compressed with.
    pub(super) receive: Encoding,
    /// What this side takes.
    accepted: Encodings,
    /// Server: what the client takes.
    peer_accepts: Encodings,
    /// Server: the client has spoken of compression. To one that has not, nothing is said of it.
    asked: bool,
}

impl Agreement {
    pub(super) const fn new(send: Encoding, accepted: Encodings) -> Self {
        Self {
            send,
            receive: Encoding::Identity,
            accepted,
            peer_accepts: Encodings::NONE,
            asked: false,
        }
    }

    /// Client: says it in the request's headers.
    pub(super) fn announce_request(&self, metadata: &mut Metadata) {
        strip(metadata);
        let says_encoding = self.send != Encoding::Identity;
        self.announce(metadata, says_encoding, self.accepted != Encodings::NONE);
    }

    /// Server: takes in what the request's headers say.
    pub(super) fn requested(&mut self, metadata: &mut Metadata) -> Result<(), Trailers> {
        let wanted = core::mem::take(&mut self.send);
        let encoding = metadata.text(ENCODING);
        let accepted = metadata.text(ACCEPTED);
        if encoding.is_none() && accepted.is_none() {
            return Ok(());
        }
        self.asked = true;
        self.peer_accepts = accepted.map(Encodings::from_list).unwrap_or_default();
        let known = encoding.map_or(Some(Encoding::Identity), Encoding::from_name);
        let Some(encoding) = known.filter(|known| self.accepted.contains(*known)) else {
            let name = encoding.unwrap_or_default();
            let message = format!("the encoding {name:?} is not supported");
            strip(metadata);
            return Err(self.refusal(&message));
        };
        self.receive = encoding;
        self.choose(wanted);
        strip(metadata);
        Ok(())
    }

    /// Server: compresses with this, if the client takes it.
    pub(super) fn choose(&mut self, encoding: Encoding) {
        let takes = self.peer_accepts.contains(encoding);
        self.send = if takes { encoding } else { Encoding::Identity };
    }

    /// Server: says it in the response's headers.
    pub(super) fn announce_response(&self, metadata: &mut Metadata) {
        strip(metadata);
        let says_encoding = self.send != Encoding::Identity;
        self.announce(metadata, says_encoding, self.asked);
    }

    /// Client: takes in what the response's headers say.
    pub(super) fn responded(&mut self, metadata: &mut Metadata) -> Result<(), Violation> {
        let encoding = metadata.text(ENCODING);
        let known = encoding.map_or(Some(Encoding::Identity), Encoding::from_name);
        let known = known.filter(|known| self.accepted.contains(*known));
        strip(metadata);
        self.receive = known.ok_or(Violation::Encoding)?;
        Ok(())
    }

    fn announce(&self, metadata: &mut Metadata, says_encoding: bool, says_accepted: bool) {
        if says_encoding {
            append(metadata, ENCODING, self.send.name());
        }
        if says_accepted {
            append(metadata, ACCEPTED, &self.accepted.to_string());
        }
    }

    /// The answer to a request in an encoding that is not taken, with those that are.
    fn refusal(&self, message: &str) -> Trailers {
        let mut trailers = Trailers::failed(Status::new(Code::Unimplemented, message));
        self.announce(&mut trailers.metadata, false, true);
        trailers
    }
}

/// Takes out what is not the application's.
pub(super) fn strip(metadata: &mut Metadata) {
    if !metadata.is_empty() {
        metadata.remove(ENCODING);
        metadata.remove(ACCEPTED);
    }
}

fn append(metadata: &mut Metadata, key: &str, value: &str) {
    let appended = metadata.append(key, value);
    debug_assert!(appended.is_ok(), "{key} is a key, and {value} plain text");
}
