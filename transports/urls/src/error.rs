//! Why a URL leads nowhere.

use headwater_rpc::{Code, Status};

use crate::Scheme;

/// Why there is no transport for a URL. The text does not repeat the URL, which whoever asked knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is not of the form that [`Url::parse`](crate::Url::parse) takes, and what is wrong.
    #[error("not a URL of a server: {0}")]
    Malformed(&'static str),
    /// No transport has this scheme.
    #[error("there is no transport for {0}:// URLs; this build has {built}", built = built())]
    Unknown(String),
    /// The transport of this scheme is not built.
    #[error("this build has no transport for {0}:// URLs: it was made without the feature `{feature}`", feature = _0.feature())]
    NotBuilt(Scheme),
    /// A server of this scheme needs a certificate, and the options have none.
    #[error("a server of {0}:// URLs needs a certificate and its key")]
    NoCertificate(Scheme),
    /// The transport cannot listen, or cannot use what the options say.
    #[error("{}", .0.message)]
    Transport(Status),
}

impl UrlError {
    /// The address cannot be bound, or a file not be used.
    #[cfg(feature = "tls")]
    pub(crate) fn cannot(error: &std::io::Error) -> Self {
        Self::Transport(Status::new(Code::Unavailable, error.to_string()))
    }
}

/// `INVALID_ARGUMENT`, or what the transport says.
impl From<UrlError> for Status {
    fn from(error: UrlError) -> Self {
        match error {
            UrlError::Transport(status) => status,
            UrlError::Malformed(_)
            | UrlError::Unknown(_)
            | UrlError::NotBuilt(_)
            | UrlError::NoCertificate(_) => Self::new(Code::InvalidArgument, error.to_string()),
        }
    }
}

fn built() -> String {
    let names: Vec<_> = Scheme::built().map(Scheme::name).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}
