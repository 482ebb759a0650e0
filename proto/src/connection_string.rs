//! Where a service is and the key to it, in one line: `Endpoint=http://127.0.0.1:8080;AccessKey=…;Version=1.0;`.

use alloc::{format, string::String};
use core::{fmt, str::FromStr};

/// The only version that there is.
const VERSION: &str = "1.0";

/// A connection string as Azure's service libraries and `headwater serve` write it.
///
/// [`Display`](fmt::Display) writes it whole, **with the key**; [`Debug`](fmt::Debug) hides the key.
///
/// ```
/// use headwater_proto::ConnectionString;
///
/// let parsed: ConnectionString = "endpoint=http://localhost/;AccessKey=a=b;Port=8080".parse()?;
/// assert_eq!(parsed.endpoint(), "http://localhost:8080");
/// assert_eq!(parsed.access_key(), "a=b");
/// assert_eq!(parsed.to_string(), "Endpoint=http://localhost:8080;AccessKey=a=b;Version=1.0;");
/// assert!(!format!("{parsed:?}").contains("a=b"));
/// # Ok::<(), headwater_proto::ConnectionStringError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString {
    endpoint: String,
    access_key: String,
}

/// Why a text is not a connection string. Tells no part of the text, which could be the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionStringError {
    /// A part between two `;` has no `=`.
    #[error("a part of the connection string has no `=`")]
    MissingEquals,
    /// A part that must come once came twice.
    #[error("the connection string has more than one {0}")]
    Duplicate(&'static str),
    /// A part that must come is missing.
    #[error("the connection string has no {0}")]
    Missing(&'static str),
    /// The endpoint is not `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    #[error("the endpoint is not a URL of the form http[s]://HOST[:PORT]")]
    InvalidEndpoint,
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    InvalidPort,
    /// The key is empty or holds a `;`, which would end it.
    #[error("the access key is empty or holds a `;`")]
    InvalidAccessKey,
    /// The version is another than 1.0.
    #[error("the version of the connection string is not 1.0")]
    UnsupportedVersion,
}

use ConnectionStringError as Error;

impl ConnectionString {
    /// The connection string of the service at `endpoint`, a URL of the form `http[s]://HOST[:PORT]`; slashes at its end
    /// are dropped.
    ///
    /// # Errors
    ///
    /// [`ConnectionStringError::InvalidEndpoint`], [`ConnectionStringError::InvalidPort`] or
    /// [`ConnectionStringError::InvalidAccessKey`].
    pub fn new(endpoint: &str, access_key: &str) -> Result<Self, ConnectionStringError> {
        Self::from_parts(endpoint, access_key, None)
    }

    fn from_parts(endpoint: &str, access_key: &str, port: Option<&str>) -> Result<Self, Error> {
        if access_key.is_empty() || access_key.contains(';') {
            return Err(Error::InvalidAccessKey);
        }
        Ok(Self {
            endpoint: normal_endpoint(endpoint, port)?,
            access_key: access_key.into(),
        })
    }

    /// Where the service is, with scheme and without a slash at the end.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The key, as the text that it is: it is never decoded.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }
}

impl FromStr for ConnectionString {
    type Err = ConnectionStringError;

    /// Reads `Endpoint`, `AccessKey` and, where given, `Port` and `Version`; other parts are ignored. Names have no case,
    /// and a value begins behind the first `=`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NAMES: [&str; 4] = ["Endpoint", "AccessKey", "Port", "Version"];
        let mut values: [Option<&str>; 4] = [None; 4];
        for part in text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (name, value) = part.split_once('=').ok_or(Error::MissingEquals)?;
            let known = NAMES
                .iter()
                .zip(&mut values)
                .find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
            if let Some((name, slot)) = known
                && slot.replace(value.trim()).is_some()
            {
                return Err(Error::Duplicate(name));
            }
        }
        let [endpoint, access_key, port, version] = values;
        if version.is_some_and(|version| version != VERSION) {
            return Err(Error::UnsupportedVersion);
        }
        Self::from_parts(
            endpoint.ok_or(Error::Missing("Endpoint"))?,
            access_key.ok_or(Error::Missing("AccessKey"))?,
            port,
        )
    }
}

impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            endpoint,
            access_key,
        } = self;
        write!(
            f,
            "Endpoint={endpoint};AccessKey={access_key};Version={VERSION};"
        )
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString")
            .field("endpoint", &self.endpoint)
            .field("access_key", &"***")
            .finish()
    }
}

fn normal_endpoint(endpoint: &str, port: Option<&str>) -> Result<String, Error> {
    let (scheme, rest) = endpoint.split_once("://").ok_or(Error::InvalidEndpoint)?;
    let scheme = ["http", "https"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(scheme))
        .ok_or(Error::InvalidEndpoint)?;
    let (host, own_port) = host_and_port(rest.trim_end_matches('/'))?;
    match port.or(own_port) {
        None => Ok(format!("{scheme}://{host}")),
        Some(port) => Ok(format!("{scheme}://{host}:{}", port_number(port)?)),
    }
}

fn host_and_port(authority: &str) -> Result<(&str, Option<&str>), Error> {
    // The colons inside the brackets of an IPv6 address are not before a port.
    let host_end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match authority[host_end..].find(':') {
        None => (authority, None),
        Some(colon) => {
            let (host, port) = authority.split_at(host_end + colon);
            (host, Some(&port[1..]))
        }
    };
    let name = match host.strip_prefix('[') {
        None => host,
        Some(address) => address.strip_suffix(']').ok_or(Error::InvalidEndpoint)?,
    };
    let bracketed = name.len() < host.len();
    let is_host = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_')
            || (bracketed && byte == b':')
    };
    if name.is_empty() || !name.bytes().all(is_host) {
        return Err(Error::InvalidEndpoint);
    }
    Ok((host, port))
}

fn port_number(text: &str) -> Result<u16, Error> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        Ok(_) | Err(_) => Err(Error::InvalidPort),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn endpoint(text: &str) -> Result<String, Error> {
        let parsed: ConnectionString = text.parse()?;
        Ok(parsed.endpoint().into())
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let made = ConnectionString::new("https://example.com/", "key+/==").unwrap();
        let text = made.to_string();
        assert_eq!(
            text,
            "Endpoint=https://example.com;AccessKey=key+/==;Version=1.0;"
        );
        assert_eq!(text.parse(), Ok(made));
    }

    #[test]
    fn names_have_no_case_and_unknown_ones_are_ignored() {
        let parsed: ConnectionString = " ACCESSKEY = k ; endpoint=HTTP://h:1 ;ClientEndpoint=x;;"
            .parse()
            .unwrap();
        assert_eq!(parsed, ConnectionString::new("http://h:1", "k").unwrap());
    }

    #[test]
    fn a_port_overrides_that_of_the_endpoint() {
        for (text, expected) in [
            ("Endpoint=http://h;AccessKey=k;Port=8080", "http://h:8080"),
            (
                "Endpoint=http://h:1/;AccessKey=k;Port=8080",
                "http://h:8080",
            ),
            ("Endpoint=http://[::1]:1//;AccessKey=k", "http://[::1]:1"),
            ("Endpoint=http://[::1];AccessKey=k;Port=2", "http://[::1]:2"),
        ] {
            assert_eq!(endpoint(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, error) in [
            ("", Error::Missing("Endpoint")),
            ("Endpoint=http://h", Error::Missing("AccessKey")),
            ("AccessKey=k", Error::Missing("Endpoint")),
            ("nonsense", Error::MissingEquals),
            (
                "Endpoint=http://h;AccessKey=k;accesskey=l",
                Error::Duplicate("AccessKey"),
            ),
            ("Endpoint=http://h;AccessKey=", Error::InvalidAccessKey),
            (
                "Endpoint=http://h;AccessKey=k;Version=2.0",
                Error::UnsupportedVersion,
            ),
            ("Endpoint=h;AccessKey=k", Error::InvalidEndpoint),
            ("Endpoint=ftp://h;AccessKey=k", Error::InvalidEndpoint),
            ("Endpoint=http://;AccessKey=k", Error::InvalidEndpoint),
            ("Endpoint=http://h/path;AccessKey=k", Error::InvalidEndpoint),
            ("Endpoint=http://u@h;AccessKey=k", Error::InvalidEndpoint),
            ("Endpoint=http://h?q;AccessKey=k", Error::InvalidEndpoint),
            ("Endpoint=http://[::1;AccessKey=k", Error::InvalidEndpoint),
            ("Endpoint=http://::1;AccessKey=k", Error::InvalidEndpoint),
            ("Endpoint=http://[]:1;AccessKey=k", Error::InvalidEndpoint),
            ("Endpoint=http://h:;AccessKey=k", Error::InvalidPort),
            ("Endpoint=http://h:0;AccessKey=k", Error::InvalidPort),
            (
                "Endpoint=http://h;AccessKey=k;Port=65536",
                Error::InvalidPort,
            ),
            ("Endpoint=http://h;AccessKey=k;Port=+1", Error::InvalidPort),
        ] {
            assert_eq!(endpoint(text), Err(error), "{text}");
        }
        let made = ConnectionString::new("http://h", "a;b");
        assert_eq!(made, Err(Error::InvalidAccessKey));
    }

    #[test]
    fn r5_38_debug_and_errors_never_show_the_key() {
        let made = ConnectionString::new("http://h", "s3cret").unwrap();
        assert!(!format!("{made:?}").contains("s3cret"), "{made:?}");
        let error = "s3cret".parse::<ConnectionString>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
}
