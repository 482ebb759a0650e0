//! What a URL says.

use std::fmt;

use crate::UrlError;

/// The schemes of URLs. Each has one transport; whether this build has it is [`Scheme::is_built`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// HTTP/2 without TLS.
    Http,
    /// HTTP/2 with TLS.
    Https,
    /// HTTP/2 over a Unix socket.
    Unix,
    /// HTTP/3.
    H3,
    /// HTTP/3, and HTTP/2 with TLS where UDP is blocked; a server takes both.
    HttpsH3,
    /// gRPC-Web without TLS.
    GrpcWebHttp,
    /// gRPC-Web with TLS.
    GrpcWebHttps,
    /// WebSocket without TLS.
    Ws,
    /// WebSocket with TLS.
    Wss,
    /// Within the process.
    InProcess,
}

/// All schemes, in the order in which people are told of them.
const SCHEMES: [Scheme; 10] = [
    Scheme::Http,
    Scheme::Https,
    Scheme::Unix,
    Scheme::H3,
    Scheme::HttpsH3,
    Scheme::GrpcWebHttp,
    Scheme::GrpcWebHttps,
    Scheme::Ws,
    Scheme::Wss,
    Scheme::InProcess,
];

const NO_SCHEME: UrlError = UrlError::Malformed("it does not begin with a scheme, such as http://");

impl Scheme {
    /// As URLs have it, such as `http`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Unix => "unix",
            Self::H3 => "h3",
            Self::HttpsH3 => "https+h3",
            Self::GrpcWebHttp => "grpc-web+http",
            Self::GrpcWebHttps => "grpc-web+https",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::InProcess => "inproc",
        }
    }

    /// The feature of this crate that brings its transport; of the one that needs two, the one that is missing.
    pub const fn feature(self) -> &'static str {
        match self {
            Self::Http | Self::Https | Self::Unix => "http2",
            Self::HttpsH3 if !cfg!(feature = "http2") => "http2",
            Self::H3 | Self::HttpsH3 => "http3",
            Self::GrpcWebHttp | Self::GrpcWebHttps => "grpc-web",
            Self::Ws | Self::Wss => "websocket",
            Self::InProcess => "in-process",
        }
    }

    /// Whether this build has its transport.
    pub const fn is_built(self) -> bool {
        match self {
            Self::Http | Self::Https | Self::Unix => cfg!(feature = "http2"),
            Self::H3 => cfg!(feature = "http3"),
            Self::HttpsH3 => cfg!(all(feature = "http2", feature = "http3")),
            Self::GrpcWebHttp | Self::GrpcWebHttps => cfg!(feature = "grpc-web"),
            Self::Ws | Self::Wss => cfg!(feature = "websocket"),
            Self::InProcess => cfg!(feature = "in-process"),
        }
    }

    /// Whether its connections are always by TLS, so that a server needs a certificate.
    pub const fn has_tls(self) -> bool {
        match self {
            Self::Https | Self::H3 | Self::HttpsH3 | Self::GrpcWebHttps | Self::Wss => true,
            Self::Http | Self::Unix | Self::GrpcWebHttp | Self::Ws | Self::InProcess => false,
        }
    }

    /// All schemes that this build has a transport for.
    pub fn built() -> impl Iterator<Item = Self> {
        SCHEMES.into_iter().filter(|scheme| scheme.is_built())
    }

    /// The port of URLs that name none.
    const fn port(self) -> Option<u16> {
        match self {
            Self::Http | Self::GrpcWebHttp | Self::Ws => Some(80),
            Self::Https | Self::H3 | Self::HttpsH3 | Self::GrpcWebHttps | Self::Wss => Some(443),
            Self::Unix | Self::InProcess => None,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A URL that this build has a transport for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    rest: String,
}

impl Url {
    /// Takes a URL apart: `SCHEME://HOST[:PORT][/]`, `unix:PATH`, `unix:///PATH` or `inproc://NAME`.
    ///
    /// # Errors
    ///
    /// [`UrlError::Malformed`], [`UrlError::Unknown`] or [`UrlError::NotBuilt`]. None of them shows a user or a password that
    /// stands in a URL.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (name, rest) = url.split_once(':').ok_or(NO_SCHEME)?;
        // Else `localhost:80` would have a scheme.
        if name != Scheme::Unix.name() && !rest.starts_with("//") {
            return Err(NO_SCHEME);
        }
        let scheme = SCHEMES.into_iter().find(|scheme| scheme.name() == name);
        let Some(scheme) = scheme else {
            return Err(unknown(name));
        };
        if !scheme.is_built() {
            return Err(UrlError::NotBuilt(scheme));
        }
        let rest = if scheme == Scheme::Unix {
            path(rest)?
        } else {
            authority(rest)?
        };
        Ok(Self {
            scheme,
            rest: rest.to_owned(),
        })
    }

    /// Which transport it is for.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What comes after the scheme: a host with or without a port, the path of a Unix socket, or a name.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// The host without its port, and without the brackets of an IPv6 address. `None` if the URL names none: that of a Unix
    /// socket, and one within the process.
    pub fn host(&self) -> Option<&str> {
        self.scheme.port()?;
        Some(self.split().0.trim_matches(['[', ']']))
    }

    /// The port, which is that of the scheme if the URL has none. `None` if what it has is no port, and if it names no host.
    pub fn port(&self) -> Option<u16> {
        let own = self.scheme.port()?;
        let (_, port) = self.split();
        port.map_or(Some(own), |port| port.parse().ok())
    }

    /// The host with its port, or with that of the scheme if it has none.
    pub(crate) fn host_and_port(&self) -> String {
        match (self.scheme.port(), self.split()) {
            (Some(port), (host, None)) => format!("{host}:{port}"),
            (Some(_) | None, _) => self.rest.clone(),
        }
    }

    /// The host, and the port if there is one.
    fn split(&self) -> (&str, Option<&str>) {
        // An IPv6 address has colons too, within brackets.
        let split = self.rest.rsplit_once(':');
        let split = split.filter(|(_, port)| !port.ends_with(']'));
        split.map_or((&self.rest, None), |(host, port)| (host, Some(port)))
    }

    /// The same place with this host and port.
    pub(crate) fn with_address(&self, address: impl fmt::Display) -> String {
        format!("{}://{address}", self.scheme)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slashes = if self.scheme == Scheme::Unix {
            ""
        } else {
            "//"
        };
        write!(f, "{}:{slashes}{}", self.scheme, self.rest)
    }
}

fn path(rest: &str) -> Result<&str, UrlError> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err(UrlError::Malformed("unix:// has an absolute path after it")),
    };
    if path.is_empty() {
        return Err(UrlError::Malformed("it names no socket"));
    }
    Ok(path)
}

fn authority(rest: &str) -> Result<&str, UrlError> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.is_empty() {
        return Err(UrlError::Malformed("it names no host"));
    }
    // What stands before the `@` may be a password.
    if authority.contains('@') {
        return Err(UrlError::Malformed("it may have no user and no password"));
    }
    if authority.contains(['/', '?', '#']) {
        return Err(UrlError::Malformed("nothing comes after the port"));
    }
    if authority.contains(|char: char| char.is_whitespace() || char.is_control()) {
        return Err(UrlError::Malformed("a host has no blanks"));
    }
    Ok(authority)
}

/// It is shown only if it looks like a scheme (RFC 3986, 3.1).
fn unknown(name: &str) -> UrlError {
    let is_scheme = name.starts_with(|char: char| char.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if is_scheme {
        UrlError::Unknown(name.to_owned())
    } else {
        NO_SCHEME
    }
}
