//! What a channel is made to: a name in the syntax of gRPC's `naming.md`.

use std::net::IpAddr;

use headwater_proto::{Code, Status};

/// The scheme of targets that name none.
pub(super) const DNS: &str = "dns";

/// A name to be resolved, such as `dns:///example.org:50051`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Which resolver it is for.
    pub scheme: String,
    /// Between `//` and the next `/`; often empty.
    pub authority: String,
    /// The rest, with its leading `/` if it has one.
    pub path: String,
}

impl Target {
    /// Takes a target apart. One without a known scheme is a host for `dns`.
    pub(super) fn parse(text: &str, is_known: impl Fn(&str) -> bool) -> Result<Self, Status> {
        let scheme = text.split_once(':').filter(|(scheme, _)| is_known(scheme));
        let Some((scheme, rest)) = scheme else {
            return match text.split_once("://") {
                Some((scheme, _)) => Err(invalid(
                    text,
                    &format!("there is no resolver for the scheme `{scheme}`"),
                )),
                None => Ok(Self::new(DNS, "", text)),
            };
        };
        let Some(rest) = rest.strip_prefix("//") else {
            return Ok(Self::new(scheme, "", rest));
        };
        let path = rest.find('/').unwrap_or(rest.len());
        Ok(Self::new(scheme, &rest[..path], &rest[path..]))
    }

    fn new(scheme: &str, authority: &str, path: &str) -> Self {
        Self {
            scheme: scheme.to_owned(),
            authority: authority.to_owned(),
            path: path.to_owned(),
        }
    }

    /// The path without the `/` that separates it from the authority: what most schemes look at.
    pub fn endpoint(&self) -> &str {
        self.path.strip_prefix('/').unwrap_or(&self.path)
    }

    /// For resolvers that know no authority.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if there is one.
    pub fn without_authority(&self) -> Result<&Self, Status> {
        if self.authority.is_empty() {
            return Ok(self);
        }
        let reason = format!(
            "`{}` takes no authority: write {}:///NAME or {}:NAME",
            self.scheme, self.scheme, self.scheme
        );
        Err(invalid(&self.to_string(), &reason))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slashes = if self.authority.is_empty() { "" } else { "//" };
        let (scheme, authority, path) = (&self.scheme, &self.authority, &self.path);
        write!(f, "{scheme}:{slashes}{authority}{path}")
    }
}

/// The target that a host and a port of a URL stand for. An address, of IPv6 with or without its brackets, stands for
/// itself, so that none is looked up as a name; everything else is a name of DNS.
pub fn target_of_host(host: &str, port: u16) -> String {
    let bare = host.trim_matches(['[', ']']);
    match bare.parse() {
        Ok(IpAddr::V4(address)) => format!("ipv4:{address}:{port}"),
        Ok(IpAddr::V6(address)) => format!("ipv6:[{address}]:{port}"),
        Err(_) => format!("dns:///{host}:{port}"),
    }
}

pub(super) fn invalid(target: &str, reason: &str) -> Status {
    let message = format!("not a target: `{target}`: {reason}");
    Status::new(Code::InvalidArgument, message)
}
