//! The client's end: tonic's reconnecting channel.

use std::time::Duration;

use async_trait::async_trait;
use headwater_rpc::{ClientTransport, Code, Inbound, Outbound, RequestHeaders, Status};
use http::{
    HeaderValue, Method, Request, Uri,
    header::{CONTENT_TYPE, TE},
};
use tokio::sync::watch;
use tonic::{
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Service as _, ServiceExt as _};

use crate::{body::CallBody, headers, inbound::ResponseInbound, pipe::PipeExecutor};

/// The bounds of a client's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http2ClientConfig {
    /// How long a connection may take to come up. Default: 10 s.
    pub connect_timeout: Duration,
    /// When nothing was heard for this long, also without a call, the server is asked. Headwater's servers do not mind;
    /// servers of gRPC's own libraries cut clients that ask more often than every 5 minutes, unless they are told
    /// otherwise (gRFC A8). Default: 10 s.
    pub keepalive_interval: Duration,
    /// How long the answer may take before the connection counts as lost. Default: 10 s.
    pub keepalive_timeout: Duration,
    /// What a server may send on one stream before it is read. Default: 256 KiB.
    pub stream_window_bytes: u32,
    /// What a server may send on all streams together before it is read, and so the memory that it can take. Much larger
    /// than one stream's, for else one unread stream stops all others. Default: 16 MiB.
    pub connection_window_bytes: u32,
    /// The largest header list that is taken. Default: 16 KiB.
    pub header_list_bytes_max: u32,
}

impl Default for Http2ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(10),
            stream_window_bytes: 256 << 10,
            connection_window_bytes: 16 << 20,
            header_list_bytes_max: 16 << 10,
        }
    }
}

/// Calls over HTTP/2 to one server. The connection comes up with the first call, and again after it was lost; a call
/// that finds the server away fails at once with `UNAVAILABLE`.
pub struct Http2Client {
    endpoint: Endpoint,
    channel: watch::Sender<State>,
}

enum State {
    NotStarted,
    Running(Channel),
    Stopped,
}

impl Http2Client {
    /// A client of the server at this URL, such as `http://127.0.0.1:8081`.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is not such a URL.
    pub fn new(url: &str, config: &Http2ClientConfig) -> Result<Self, Status> {
        let invalid = |error: &dyn std::fmt::Display| {
            Status::new(Code::InvalidArgument, format!("not an http url: {error}"))
        };
        let uri: Uri = url.parse().map_err(|error| invalid(&error))?;
        if uri.scheme_str() != Some("http") {
            return Err(invalid(&"the scheme must be http"));
        }
        let endpoint = Endpoint::from(uri)
            .executor(PipeExecutor)
            .connect_timeout(config.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(config.keepalive_interval)
            .keep_alive_timeout(config.keepalive_timeout)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(config.stream_window_bytes)
            .initial_connection_window_size(config.connection_window_bytes)
            .http2_max_header_list_size(config.header_list_bytes_max);
        Ok(Self {
            endpoint,
            channel: watch::Sender::new(State::NotStarted),
        })
    }

    async fn channel(&self) -> Result<Channel, Status> {
        let mut channel = self.channel.subscribe();
        let started = channel
            .wait_for(|state| !matches!(state, State::NotStarted))
            .await;
        match started.as_deref() {
            Ok(State::Running(channel)) => Ok(channel.clone()),
            Ok(State::NotStarted | State::Stopped) | Err(_) => Err(Status::new(
                Code::FailedPrecondition,
                "the client is stopping or stopped",
            )),
        }
    }
}

#[async_trait]
impl ClientTransport for Http2Client {
    async fn connect(&self) -> Result<(), Status> {
        let mut state = self.channel.subscribe();
        self.channel.send_if_modified(|state| {
            let first = matches!(state, State::NotStarted);
            if first {
                *state = State::Running(self.endpoint.connect_lazy());
            }
            first
        });
        // The sender is part of `self`, so it cannot be gone.
        let _ = state
            .wait_for(|state| matches!(state, State::Stopped))
            .await;
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        self.channel.send_replace(State::Stopped);
    }

    async fn open(
        &self,
        request: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        let mut channel = self.channel().await?;
        let message_bytes_max = outbound.receive_message_bytes_max();
        let request = http_request(&request, outbound)?;
        let ready = channel.ready().await;
        let channel = ready
            .map_err(|error| Status::new(Code::Unavailable, format!("no connection: {error}")))?;
        let response = channel.call(request);
        Ok(Box::new(ResponseInbound::new(response, message_bytes_max)))
    }
}

fn http_request(request: &RequestHeaders, outbound: Outbound) -> Result<Request<Body>, Status> {
    let invalid = |_| Status::new(Code::InvalidArgument, "the path is not valid in a url");
    let uri = Uri::try_from(&*request.path).map_err(invalid)?;
    let mut http = Request::new(Body::new(CallBody::request(outbound)));
    *http.method_mut() = Method::POST;
    *http.uri_mut() = uri;
    let headers = http.headers_mut();
    headers.insert(CONTENT_TYPE, headers::content_type());
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Some(timeout) = request.timeout {
        headers::append_timeout(timeout, headers);
    }
    headers::append_metadata(&request.metadata, headers);
    Ok(http)
}
