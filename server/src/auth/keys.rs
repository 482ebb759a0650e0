use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};

/// The shortest access key, in bytes: as long as the output of HS256 (RFC 7518 section 3.2).
pub const ACCESS_KEY_BYTES_MIN: usize = 32;

/// One access key. Its UTF-8 text is the key; nothing decodes it. [`Debug`](fmt::Debug) hides it.
#[derive(Clone)]
pub struct AccessKey {
    text: String,
    signing: EncodingKey,
    verifying: DecodingKey,
}

/// The keys that tokens may be signed with. [`Debug`](fmt::Debug) hides them.
#[derive(Clone)]
pub struct AccessKeys {
    primary: AccessKey,
    secondary: Option<AccessKey>,
}

/// Why a text cannot be an access key. Tells nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAccessKey {
    /// It is shorter than [`ACCESS_KEY_BYTES_MIN`].
    #[error("the access key is shorter than {ACCESS_KEY_BYTES_MIN} bytes")]
    TooShort,
    /// It holds a `;`, which would end it in a connection string.
    #[error("the access key holds a `;`")]
    Semicolon,
}

impl AccessKey {
    /// The key of this text.
    ///
    /// # Errors
    ///
    /// [`InvalidAccessKey`] if it is too short to be safe or does not fit a connection string.
    pub fn new(text: &str) -> Result<Self, InvalidAccessKey> {
        if text.len() < ACCESS_KEY_BYTES_MIN {
            return Err(InvalidAccessKey::TooShort);
        }
        if text.contains(';') {
            return Err(InvalidAccessKey::Semicolon);
        }
        Ok(Self {
            text: text.into(),
            signing: EncodingKey::from_secret(text.as_bytes()),
            verifying: DecodingKey::from_secret(text.as_bytes()),
        })
    }

    /// The key itself, for a connection string. Secret.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature of `message` by HS256, in base64url.
    pub(super) fn sign(&self, message: &str) -> String {
        crypto::sign(message.as_bytes(), &self.signing, Algorithm::HS256)
            .expect("HMAC takes a key and a message of any length")
    }

    /// Compares in constant time.
    fn verify(&self, signature: &str, message: &str) -> bool {
        let key = &self.verifying;
        crypto::verify(signature, message.as_bytes(), key, Algorithm::HS256).unwrap_or(false)
    }
}

impl AccessKeys {
    /// A primary key, and a secondary one that is as good, so that either can be replaced while clients use the other.
    pub const fn new(primary: AccessKey, secondary: Option<AccessKey>) -> Self {
        Self { primary, secondary }
    }

    /// The key to sign with.
    pub const fn primary(&self) -> &AccessKey {
        &self.primary
    }

    /// Always tries every key, so that the time tells nothing of which one fits.
    pub(super) fn verify(&self, signature: &str, message: &str) -> bool {
        let primary = self.primary.verify(signature, message);
        let secondary = self
            .secondary
            .as_ref()
            .is_some_and(|key| key.verify(signature, message));
        primary | secondary
    }
}

impl From<AccessKey> for AccessKeys {
    fn from(primary: AccessKey) -> Self {
        Self::new(primary, None)
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey(***)")
    }
}

impl fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKeys")
            .field("primary", &self.primary)
            .field("secondary", &self.secondary)
            .finish()
    }
}
