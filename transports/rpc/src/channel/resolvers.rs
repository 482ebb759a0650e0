//! Resolvers by scheme.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use headwater_proto::Status;

use super::{
    Address, FixedResolver, Resolution, Resolver, Target,
    dns::Dns,
    target::{DNS, invalid},
};

/// The port of hosts that name none, as in gRPC's `naming.md`.
const PORT: u16 = 443;

type Made = Result<Box<dyn Resolver>, Status>;
type Factory = Box<dyn Fn(&Target) -> Made + Send + Sync>;

/// Which resolver a target is for.
///
/// | target | addresses |
/// |---|---|
/// | `dns:host:port`, `dns:///host:port`, `host:port` | what the system's resolver says |
/// | `ipv4:192.0.2.1:50051,192.0.2.2` | these |
/// | `ipv6:[2001:db8::1]:50051,[2001:db8::2]` | these |
/// | `unix:path`, `unix:///path` | this socket |
///
/// A port that is not named is 443. A known scheme is taken for one also where a host of that name could be meant.
pub struct Resolvers {
    factories: BTreeMap<String, Factory>,
}

impl Default for Resolvers {
    /// `dns`, `ipv4`, `ipv6` and `unix`.
    fn default() -> Self {
        let mut resolvers = Self {
            factories: BTreeMap::new(),
        };
        resolvers.register(DNS, dns);
        resolvers.register("ipv4", literals::<Ipv4Addr>);
        resolvers.register("ipv6", literals::<Ipv6Addr>);
        resolvers.register("unix", unix);
        resolvers
    }
}

impl Resolvers {
    /// Adds a scheme, or takes over one that is there.
    pub fn register(
        &mut self,
        scheme: impl Into<String>,
        make: impl Fn(&Target) -> Result<Box<dyn Resolver>, Status> + Send + Sync + 'static,
    ) {
        self.factories.insert(scheme.into(), Box::new(make));
    }

    /// The resolver of this target.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is no target, or its scheme is not known; or what the resolver's maker says.
    pub fn resolver(&self, target: &str) -> Result<Box<dyn Resolver>, Status> {
        let parsed = Target::parse(target, |scheme| self.factories.contains_key(scheme))?;
        let factory = self.factories.get(&parsed.scheme);
        let factory = factory.ok_or_else(|| invalid(target, "there is no resolver for it"))?;
        factory(&parsed)
    }
}

impl fmt::Debug for Resolvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.factories.keys()).finish()
    }
}

fn dns(target: &Target) -> Made {
    let (host, port) = host_and_port(target, target.without_authority()?.endpoint())?;
    if host.is_empty() {
        return Err(invalid(&target.to_string(), "there is no host"));
    }
    Ok(Box::new(Dns::new(host, port)))
}

fn literals<I>(target: &Target) -> Made
where
    I: std::str::FromStr,
    std::net::IpAddr: From<I>,
{
    let endpoint = target.without_authority()?.endpoint();
    let addresses = endpoint.split(',').map(|literal| {
        let (host, port) = host_and_port(target, literal)?;
        let ip: I = host.parse().map_err(|_| {
            let reason = format!("`{host}` is no {} address", target.scheme);
            invalid(&target.to_string(), &reason)
        })?;
        Ok(Address::Socket(SocketAddr::new(ip.into(), port)))
    });
    let addresses = addresses.collect::<Result<_, Status>>()?;
    Ok(Box::new(FixedResolver::new(Resolution::addresses(
        addresses,
    ))))
}

fn unix(target: &Target) -> Made {
    let path = &target.without_authority()?.path;
    if path.is_empty() {
        return Err(invalid(&target.to_string(), "there is no path"));
    }
    let address = Address::Unix(PathBuf::from(path));
    let resolution = Resolution::addresses(vec![address]);
    Ok(Box::new(FixedResolver::new(resolution)))
}

/// `host`, `host:port`, `[v6]:port`, and an IPv6 address without brackets, which has no port.
fn host_and_port<'a>(target: &Target, text: &'a str) -> Result<(&'a str, u16), Status> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest
            .split_once(']')
            .ok_or_else(|| invalid(&target.to_string(), "a `[` is not closed"))?,
        None => match text.find(':') {
            Some(colon) if text.rfind(':') == Some(colon) => text.split_at(colon),
            Some(_) | None => (text, ""),
        },
    };
    if port.is_empty() {
        return Ok((host, PORT));
    }
    let number = port.strip_prefix(':').and_then(|port| port.parse().ok());
    let number = number.ok_or_else(|| {
        let reason = format!("`{port}` is no port: write `:` and a number up to 65535");
        invalid(&target.to_string(), &reason)
    })?;
    Ok((host, number))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headwater_proto::Code;
    use tokio::sync::Notify;

    use super::*;
    use crate::channel::Updates;

    async fn resolved(target: &str) -> Vec<String> {
        let resolver = Resolvers::default().resolver(target);
        let mut resolver = resolver.unwrap_or_else(|status| panic!("{status}"));
        let (updates, told) = Updates::new(Arc::new(Notify::new()));
        resolver.run(updates).await;
        let told = told.borrow().clone().expect("a fixed list is told");
        let addresses = told.expect("a fixed list is known").addresses;
        addresses.iter().map(ToString::to_string).collect()
    }

    /// S4-60: IPv4, IPv6 and Unix sockets.
    #[tokio::test]
    async fn s4_60_addresses_stand_for_themselves() {
        for (target, expected) in [
            ("ipv4:192.0.2.1:80", &["ipv4:192.0.2.1:80"][..]),
            (
                "ipv4:///192.0.2.1:80,192.0.2.2",
                &["ipv4:192.0.2.1:80", "ipv4:192.0.2.2:443"],
            ),
            (
                "ipv6:[2001:db8::1]:80,[::1],::2",
                &["ipv6:[2001:db8::1]:80", "ipv6:[::1]:443", "ipv6:[::2]:443"],
            ),
            ("unix:app.sock", &["unix:app.sock"]),
            ("unix:/run/app.sock", &["unix:/run/app.sock"]),
            ("unix:///run/app.sock", &["unix:/run/app.sock"]),
        ] {
            assert_eq!(resolved(target).await, expected, "{target}");
        }
    }

    #[test]
    fn what_has_no_scheme_is_a_host() {
        let known = |scheme: &str| scheme == "dns";
        for (target, endpoint) in [
            ("example.org", "example.org"),
            ("example.org:80", "example.org:80"),
            ("dns:example.org:80", "example.org:80"),
            ("dns:///example.org", "example.org"),
            ("[::1]:80", "[::1]:80"),
        ] {
            let target = Target::parse(target, known).expect("a target");
            assert_eq!((&*target.scheme, target.endpoint()), ("dns", endpoint));
        }
    }

    #[test]
    fn s4_60_a_bad_target_says_what_is_wrong() {
        for (target, reason) in [
            ("", "there is no host"),
            ("dns:///", "there is no host"),
            ("dns:///:80", "there is no host"),
            ("dns://8.8.8.8/example.org", "`dns` takes no authority"),
            ("etcd:///name", "there is no resolver for the scheme `etcd`"),
            ("example.org:http", "`:http` is no port"),
            ("example.org:65536", "`:65536` is no port"),
            ("example.org:", "`:` is no port"),
            ("[::1:80", "a `[` is not closed"),
            ("[::1]80", "`80` is no port"),
            ("ipv4:", "`` is no ipv4 address"),
            ("ipv4:example.org:80", "`example.org` is no ipv4 address"),
            ("ipv4:192.0.2.1:80,", "`` is no ipv4 address"),
            ("ipv6:[192.0.2.1]:80", "`192.0.2.1` is no ipv6 address"),
            ("unix:", "there is no path"),
            ("unix://run/app.sock", "`unix` takes no authority"),
        ] {
            let Err(status) = Resolvers::default().resolver(target) else {
                panic!("{target} is no target");
            };
            assert_eq!(status.code, Code::InvalidArgument, "{target}");
            assert!(status.message.contains(reason), "{target}: {status}");
        }
    }
}
