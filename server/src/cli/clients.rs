//! Where clients connect.

use std::{net::SocketAddr, str::FromStr};

use headwater_rpc::tls::{ClientCertificates, ServerTlsConfig};
use headwater_websocket::{Listener, ListenerConfig};

use super::Error;

/// The value of `--listen-clients`: an address, alone or with `http://` or `https://` before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListenClients {
    address: SocketAddr,
    with_tls: bool,
}

impl FromStr for ListenClients {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, address) = text.split_once("://").unwrap_or(("http", text));
        let with_tls = match scheme {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => {
                return Err(format!(
                    "clients come by http:// or https://, not {scheme}://"
                ));
            }
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        let address = address
            .parse()
            .map_err(|_| format!("`{address}` is not an address with a port"))?;
        Ok(Self { address, with_tls })
    }
}

impl ListenClients {
    /// Binds the address. Clients are not asked for certificates, whatever upstreams are.
    pub(super) async fn bind(self, tls: Option<&ServerTlsConfig>) -> Result<Clients, Error> {
        let Self { address, with_tls } = self;
        let cannot = |error: &dyn std::fmt::Display| {
            format!("cannot listen for clients on {address}: {error}")
        };
        let listener = Listener::bind(address, ListenerConfig::default()).await;
        let mut listener = listener.map_err(|error| cannot(&error))?;
        if with_tls {
            let tls = tls
                .ok_or_else(|| cannot(&"https:// needs --tls-cert and --tls-key, or --dev-tls"))?;
            let tls = ServerTlsConfig {
                clients: ClientCertificates::Ignored,
                ..tls.clone()
            };
            listener = listener.with_tls(tls).map_err(|error| cannot(&error))?;
        }
        Ok(Clients {
            address: listener.local_addr()?,
            listener,
            scheme: if with_tls { "https" } else { "http" },
        })
    }
}

/// A bound port for clients.
pub(super) struct Clients {
    pub(super) listener: Listener,
    pub(super) scheme: &'static str,
    address: SocketAddr,
}

impl Clients {
    /// The URL of what was bound.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The endpoint: where the machine itself reaches it.
    pub(super) fn endpoint(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            let loopback = if address.is_ipv4() {
                "127.0.0.1"
            } else {
                "::1"
            };
            address.set_ip(loopback.parse().expect("these are addresses"));
        }
        format!("{}://{address}", self.scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::ListenClients;

    #[test]
    fn an_address_may_have_a_scheme() {
        for (text, with_tls) in [
            ("127.0.0.1:8080", false),
            ("http://127.0.0.1:8080/", false),
            ("https://127.0.0.1:8080", true),
            ("wss://127.0.0.1:8080", true),
        ] {
            let parsed: ListenClients = text.parse().expect(text);
            assert_eq!(parsed.with_tls, with_tls, "{text}");
            assert_eq!(parsed.address.port(), 8080, "{text}");
        }
        for text in ["h3://127.0.0.1:8080", "https://", "8080", "127.0.0.1"] {
            let parsed: Result<ListenClients, _> = text.parse();
            assert!(parsed.is_err(), "{text}: {parsed:?}");
        }
    }
}
