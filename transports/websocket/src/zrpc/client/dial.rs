//! Making a connection.

use headwater_proto::{
    grpc::timeout,
    zrpc::{SUBPROTOCOL, SUBPROTOCOL_V2},
};
use headwater_rpc::{Code, Metadata, RequestHeaders, Status, tls::TlsClient};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{client::IntoClientRequest as _, protocol::WebSocketConfig},
};

use super::{Framing, ZrpcClientConfig};
use crate::ALPN;

/// The header with the time that a client gives a call.
const TIMEOUT: &str = "grpc-timeout";
/// Both, the preferred one first.
const BOTH: &str = "zrpc.v2, zrpc";

/// Any stream of bytes.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A socket of which the handshake is done.
pub(super) type Socket = WebSocketStream<Box<dyn Stream>>;

/// What a server has agreed to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    Numbered,
    Plain,
    /// It named nothing: it may be the original.
    Unnamed,
}

/// Makes connections to one server.
pub(super) struct Dialer {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<TlsClient>,
    config: ZrpcClientConfig,
}

impl Dialer {
    pub(super) fn new(url: &str, config: &ZrpcClientConfig) -> Result<Self, Status> {
        let uri: Uri = url.parse().map_err(|error| invalid(&error))?;
        let authority = uri.authority().ok_or_else(|| invalid(&"no host"))?;
        // What stands before the `@` may be a password, so nothing is quoted.
        if authority.as_str().contains('@') {
            return Err(invalid(&"it has no user and no password"));
        }
        let host = authority.host().to_owned();
        let (tls, port) = match uri.scheme_str() {
            Some("ws") => (None, 80),
            Some("wss") => {
                let tls = config.tls.clone().unwrap_or_default();
                (Some(TlsClient::new(&tls, &host, &[ALPN])?), 443)
            }
            Some(_) | None => return Err(invalid(&"the scheme must be ws or wss")),
        };
        let port = authority.port_u16().unwrap_or(port);
        Ok(Self {
            uri,
            host,
            port,
            tls,
            config: config.clone(),
        })
    }

    pub(super) const fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) const fn config(&self) -> &ZrpcClientConfig {
        &self.config
    }

    /// Connects, with the metadata of the only call of a socket that carries one.
    pub(super) async fn dial(
        &self,
        framing: Framing,
        call: Option<&RequestHeaders>,
    ) -> Result<(Socket, Spoken), Status> {
        let limit = self.config.connect_timeout;
        let dialled = tokio::time::timeout(limit, self.dial_unbounded(framing, call)).await;
        dialled.unwrap_or_else(|_| Err(no_connection(&format!("not connected within {limit:?}"))))
    }

    async fn dial_unbounded(
        &self,
        framing: Framing,
        call: Option<&RequestHeaders>,
    ) -> Result<(Socket, Spoken), Status> {
        let request = (&self.uri).into_client_request();
        let mut request = request.map_err(|error| invalid(&error))?;
        let headers = request.headers_mut();
        let offer = match framing {
            Framing::Numbered => Some(BOTH),
            Framing::Plain => Some(SUBPROTOCOL),
            Framing::Unnamed => None,
        };
        if let Some(offer) = offer {
            let offer = HeaderValue::from_static(offer);
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offer);
        }
        if let Some(call) = call {
            append(call, headers);
        }
        let bytes_max = Some(self.config.message_bytes_max);
        let config = WebSocketConfig::default()
            .max_message_size(bytes_max)
            .max_frame_size(bytes_max);
        let stream = self.stream().await?;
        let handshake = client_async_with_config(request, stream, Some(config)).await;
        let (socket, response) = handshake.map_err(|error| no_connection(&error))?;
        let name = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
        let spoken = match name.map(HeaderValue::as_bytes) {
            Some(name) if name == SUBPROTOCOL_V2.as_bytes() => Spoken::Numbered,
            Some(_) => Spoken::Plain,
            None => Spoken::Unnamed,
        };
        Ok((socket, spoken))
    }

    async fn stream(&self) -> Result<Box<dyn Stream>, Status> {
        // An IPv6 address stands in brackets, which are no part of it.
        let host = self.host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, self.port)).await;
        let stream = stream.map_err(|error| no_connection(&error))?;
        // Small frames would wait for acknowledgements without it; a socket that refuses works all the same.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let connector = TlsConnector::from(tls.current().await);
        let connected = connector.connect(tls.server_name().clone(), stream).await;
        let stream = connected.map_err(|error| no_connection(&tls.explain(&error)))?;
        Ok(Box::new(stream))
    }
}

/// What a call has beside its request, as headers of its handshake.
fn append(call: &RequestHeaders, headers: &mut HeaderMap) {
    if let Some(given) = call.timeout
        && let Ok(value) = HeaderValue::try_from(timeout::format(given))
    {
        headers.insert(TIMEOUT, value);
    }
    append_metadata(&call.metadata, headers);
}

/// The keys and values of [`Metadata`] are valid in HTTP.
fn append_metadata(metadata: &Metadata, headers: &mut HeaderMap) {
    for (key, value) in metadata.iter() {
        let name = HeaderName::from_bytes(key.as_bytes());
        let value = HeaderValue::try_from(value.to_wire());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
}

fn invalid(error: &dyn std::fmt::Display) -> Status {
    let message = format!("this is no URL of a zrpc server: {error}");
    Status::new(Code::InvalidArgument, message)
}

/// The client says to which URL.
fn no_connection(why: &dyn std::fmt::Display) -> Status {
    Status::new(Code::Unavailable, why.to_string())
}
