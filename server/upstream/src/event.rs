//! What comes to a handler.

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_proto::v1;

use crate::Payload;

/// A client wants to connect, and waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connect {
    /// The claims of its token.
    pub claims: BTreeMap<String, Vec<String>>,
    /// The query of its URL, without the token.
    pub query: BTreeMap<String, Vec<String>>,
    /// The headers of its handshake.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The subprotocols that it offers, in its order.
    pub subprotocols: Vec<String>,
    /// The certificates that it presented.
    pub client_certificates: Vec<ClientCertificate>,
}

/// A certificate that a client presented.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientCertificate {
    /// SHA-1 of the DER, in upper-case hex.
    pub thumbprint: String,
    /// PEM.
    pub content: String,
}

impl Connect {
    /// The first value of this name in the query.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        first(&self.query, name)
    }

    /// The first value of this claim.
    pub fn claim(&self, name: &str) -> Option<&str> {
        first(&self.claims, name)
    }

    /// The first value of this header. Names are in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }
}

/// What a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The name of the event; `message` for a client without a subprotocol.
    pub name: String,
    /// What it said.
    pub payload: Payload,
    /// Application metadata.
    pub metadata: BTreeMap<String, String>,
}

impl Message {
    /// A message without metadata.
    pub fn new(name: impl Into<String>, payload: impl Into<Payload>) -> Self {
        Self {
            name: name.into(),
            payload: payload.into(),
            metadata: BTreeMap::new(),
        }
    }
}

fn first<'a>(values: &'a BTreeMap<String, Vec<String>>, name: &str) -> Option<&'a str> {
    values.get(name)?.first().map(String::as_str)
}

fn plain(values: BTreeMap<String, v1::Values>) -> BTreeMap<String, Vec<String>> {
    let values = values.into_iter();
    values.map(|(name, it)| (name, it.values)).collect()
}

fn wrapped(values: BTreeMap<String, Vec<String>>) -> BTreeMap<String, v1::Values> {
    let values = values.into_iter();
    values
        .map(|(name, values)| (name, v1::Values { values }))
        .collect()
}

impl From<v1::Connect> for Connect {
    fn from(connect: v1::Connect) -> Self {
        let certificates = connect.client_certificates.into_iter();
        Self {
            claims: plain(connect.claims),
            query: plain(connect.query),
            headers: plain(connect.headers),
            subprotocols: connect.subprotocols,
            client_certificates: certificates
                .map(|it| ClientCertificate {
                    thumbprint: it.thumbprint,
                    content: it.content,
                })
                .collect(),
        }
    }
}

impl From<Connect> for v1::Connect {
    fn from(connect: Connect) -> Self {
        let certificates = connect.client_certificates.into_iter();
        Self {
            claims: wrapped(connect.claims),
            query: wrapped(connect.query),
            headers: wrapped(connect.headers),
            subprotocols: connect.subprotocols,
            client_certificates: certificates
                .map(|it| v1::ClientCertificate {
                    thumbprint: it.thumbprint,
                    content: it.content,
                })
                .collect(),
        }
    }
}

impl From<v1::Message> for Message {
    fn from(message: v1::Message) -> Self {
        let payload = message.payload.map(Payload::from);
        Self {
            name: message.name,
            payload: payload.unwrap_or_else(|| Payload::binary(Bytes::new())),
            metadata: message.metadata,
        }
    }
}

impl From<Message> for v1::Message {
    fn from(message: Message) -> Self {
        Self {
            name: message.name,
            payload: Some(message.payload.into()),
            metadata: message.metadata,
        }
    }
}
