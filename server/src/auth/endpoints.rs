/// Where the service can be reached: what the audience of a token may begin with. Case does not matter, nor do slashes at
/// the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Endpoints<'a> {
    /// The configured public endpoints, such as `https://example.com`.
    pub public: &'a [String],
    /// The `Host` header of the request, `HOST[:PORT]`. It stands for an endpoint with `http` and one with `https`, since
    /// TLS may end in front of the service. `None` leaves only the configured ones.
    pub host: Option<&'a str>,
}

impl Endpoints<'_> {
    /// Whether `audience` is exactly one of these endpoints followed by `path`.
    pub(super) fn has(&self, audience: &str, path: &str) -> bool {
        let Some(endpoint) = strip_suffix_ignore_case(audience, path) else {
            return false;
        };
        let public = self
            .public
            .iter()
            .any(|known| is_same(known.trim_end_matches('/'), endpoint));
        public || self.host.is_some_and(|host| is_host(endpoint, host))
    }
}

/// `host` comes from whoever sends the token: with a path in it, one audience could pass for another.
fn is_host(endpoint: &str, host: &str) -> bool {
    let only_host = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    if !only_host {
        return false;
    }
    let Some((scheme, rest)) = endpoint.split_once("://") else {
        return false;
    };
    (is_same(scheme, "http") || is_same(scheme, "https")) && is_same(rest, host)
}

fn is_same(a: &str, b: &str) -> bool {
    !a.is_empty() && a.eq_ignore_ascii_case(b)
}

fn strip_suffix_ignore_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (rest, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(rest)
}
