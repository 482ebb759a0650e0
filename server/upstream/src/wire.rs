//! How an upstream and its service are connected: where it dials, and in which of the two mappings it then talks.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use headwater_core::{Time, link::calls::REGISTER};
use headwater_proto::{Code, Status};
use headwater_rpc::{CallOptions, Client, Sender, Shape};
use headwater_transports::{ClientOptions, Url, client};
use tokio::task::spawn_blocking;

use crate::{
    Mapping, UpstreamConfig,
    calls::CallsSession,
    engine::Engine,
    session::{Session, Step},
    token::bearer,
};

/// The method of the link.
const LINK: &str = "/headwater.v1.Upstream/Link";

/// One registration that is being talked about.
pub(crate) enum Wire {
    /// One call carries everything.
    Stream(Box<Session>),
    /// A call of events, and one for each answer and command.
    Calls(Box<CallsSession>),
}

impl Wire {
    /// Opens the call that a registration lives on.
    pub(crate) async fn open(
        client: Client,
        token: Option<String>,
        config: &UpstreamConfig,
    ) -> Result<Self, Status> {
        let metadata = bearer(token.as_deref())?;
        match config.mapping {
            Mapping::Stream => {
                let (sender, receiver) =
                    client.call(LINK, metadata, CallOptions::default()).await?;
                Ok(Self::Stream(Box::new(Session::new(sender, receiver))))
            }
            Mapping::Calls => {
                let options = CallOptions {
                    shape: Shape::ServerStreaming,
                    ..CallOptions::default()
                };
                let halves = client.call(REGISTER, metadata.clone(), options).await?;
                let session = CallsSession::new(client, metadata, halves, config);
                Ok(Self::Calls(Box::new(session)))
            }
        }
    }

    /// What is waited for before more can be sent.
    pub(crate) fn blocked(&self) -> Option<&Sender> {
        match self {
            Self::Stream(session) => session.is_blocked().then(|| session.sender()),
            Self::Calls(_) => None,
        }
    }

    /// Tries again to send.
    pub(crate) fn unblock(&mut self) {
        match self {
            Self::Stream(session) => session.unblock(),
            Self::Calls(_) => {}
        }
    }

    /// How long the service has to end the call after it is drained, before the upstream half-closes. In plain calls it was
    /// not told of that.
    pub(crate) const fn linger(&self) -> Duration {
        match self {
            Self::Stream(_) => Duration::from_secs(1),
            Self::Calls(_) => Duration::ZERO,
        }
    }

    /// No more goes to the service.
    pub(crate) fn half_close(&mut self) {
        match self {
            Self::Stream(session) => session.half_close(),
            Self::Calls(session) => session.half_close(),
        }
    }

    /// Gives the registration up.
    pub(crate) fn abort(&self, status: Status) {
        match self {
            Self::Stream(session) => session.abort(status),
            Self::Calls(session) => session.abort(),
        }
    }

    /// Takes in all that came, lets the engine work, and sends what comes of it.
    pub(crate) fn poll(
        &mut self,
        engine: &mut Engine,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Poll<Step> {
        match self {
            Self::Stream(session) => session.poll(engine, now, cx),
            Self::Calls(session) => session.poll(engine, now, cx),
        }
    }
}

/// A client of the service behind this URL.
pub(crate) async fn dial(url: &Url, options: &ClientOptions) -> Result<Client, Status> {
    let (text, options) = (url.to_string(), options.clone());
    let make = move || client(&text, &options).map(headwater_rpc::ClientBuilder::build);
    let made = if url.scheme().has_tls() {
        // It reads files, which may lie on a slow network.
        let made = spawn_blocking(make).await;
        made.map_err(|_| Status::new(Code::Unavailable, "the runtime is shutting down"))?
    } else {
        make()
    };
    // What could be used when the upstream was made: somebody is changing it.
    made.map_err(|error| Status::new(Code::Unavailable, error.to_string()))
}

/// Whether trying again is in vain as long as nobody changes what is asked for.
pub(crate) const fn is_final(status: &Status) -> bool {
    matches!(
        status.code,
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::InvalidArgument
            | Code::Unimplemented
    )
}
