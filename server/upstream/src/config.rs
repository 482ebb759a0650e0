//! What an upstream is told before it runs.

use std::time::Duration;

use headwater_core::link::{WINDOW_BYTES_DEFAULT, WINDOW_EVENTS_DEFAULT, upstream};
use headwater_proto::{ConnectionString, v1};
use headwater_transports::{ClientOptions, UrlError};

use crate::{BackOff, mailbox::Bounds};

/// How long a service that is asked may say nothing. A link is a call that may be silent for hours, and its loss has to be
/// found; a service expects to be asked.
#[cfg(feature = "http2")]
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How an [`Upstream`](crate::Upstream) reaches its service, and what it registers.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// Where the service takes upstreams; the scheme chooses the transport, of those that are built
    /// ([`headwater_transports`] has the table). Default: `http://127.0.0.1:8081`, which is HTTP/2 without TLS. Not looked
    /// at by [`Upstream::over`](crate::Upstream::over).
    pub url: String,
    /// Whom the upstream trusts, and by what it proves who it is beside its token, where the URL is one with TLS. Default:
    /// the authorities of the system, and no certificate of its own.
    #[cfg(feature = "tls")]
    pub tls: headwater_rpc::tls::ClientTls,
    /// The names of `inproc://` URLs: the clone of those under which the service is bound. Default: some of its own, under
    /// which no service is found.
    #[cfg(feature = "in-process")]
    pub in_process: headwater_in_process::Names,
    /// Where the key comes from: each call carries a token made of it. Default: `None`, which sends no token.
    pub connection_string: Option<ConnectionString>,
    /// How the link is mapped onto calls. Default: [`Mapping::Stream`].
    pub mapping: Mapping,
    /// The hub to serve; lower-cased. No default: an empty one is refused.
    pub hub: String,
    /// The name of the application: instances with the same name share the connections of the hub. Default: `app`.
    ///
    /// Keep it from one version to the next. The service remembers what an application wanted when none of its instances
    /// is there, and has those events wait for it until their deadlines, so that nobody gets past a guard that is away: of
    /// an application that comes back by another name, the old one is missed until the service starts anew.
    pub app: String,
    /// For people and logs. Default: empty.
    pub app_version: String,
    /// Which events are wanted. Default: all.
    pub events: Events,
    /// How many events may be under way here at once; more wait in the service. Default 1024.
    pub window_events: u32,
    /// How many bytes of payload may be under way here at once. Default 16 MiB.
    pub window_bytes: u64,
    /// How many commands may wait for room among those that the service grants. One more ends as
    /// [`CommandError::TooMany`](crate::CommandError::TooMany). Default 16384.
    pub commands_waiting_max: usize,
    /// How many bytes of payload such commands may hold. Default 16 MiB.
    pub command_bytes_waiting_max: usize,
    /// How long the service may take to open the call, and again to answer the registration; with [`Mapping::Calls`] also
    /// to answer each call. Default 10 s.
    pub register_timeout: Duration,
    /// How long a token is valid; a fresh one is presented after four fifths of that. Default 1 h.
    pub token_lifetime: Duration,
    /// How long to wait before dialling again. Default: 200 ms, growing by 1.6 to 10 s, give or take a fifth: shorter than
    /// gRPC's, for the service gives the events of a broken link no more than 30 s.
    pub back_off: BackOff,
    /// What the jitter of [`UpstreamConfig::back_off`] is drawn from. Default: `None`, which is another one each time.
    pub seed: Option<u64>,
    /// How long a graceful stop may take before it becomes an abrupt one. Default 10 s.
    pub drain_timeout: Duration,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8081".into(),
            #[cfg(feature = "tls")]
            tls: headwater_rpc::tls::ClientTls::default(),
            #[cfg(feature = "in-process")]
            in_process: headwater_in_process::Names::default(),
            connection_string: None,
            mapping: Mapping::default(),
            hub: String::new(),
            app: "app".into(),
            app_version: String::new(),
            events: Events::default(),
            window_events: WINDOW_EVENTS_DEFAULT,
            window_bytes: WINDOW_BYTES_DEFAULT,
            commands_waiting_max: 16 * 1024,
            command_bytes_waiting_max: 16 << 20,
            register_timeout: Duration::from_secs(10),
            token_lifetime: Duration::from_secs(60 * 60),
            back_off: back_off(),
            seed: None,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// How a link is mapped onto calls. The same [`Handler`](crate::Handler) runs over either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mapping {
    /// `headwater.v1.Upstream/Link`: one bidirectional call carries everything, in order.
    #[default]
    Stream,
    /// `WpsRpc`: one call for the events, and a unary call for each answer and each command. They promise less:
    ///
    /// - answers and commands take effect in any order, also those of one handler;
    /// - a handler is not told that its client has gone;
    /// - the service cannot be told to send nothing new: connects and messages that come in a graceful stop fail when
    ///   that is over;
    /// - a notice that is on its way when the call breaks is lost.
    Calls,
}

/// Which events an upstream wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// Clients that want to connect. Once an upstream took these, the hub lets nobody in without one. Default: `true`.
    pub connect: bool,
    /// Notices of clients that are connected. Default: `true`.
    pub connected: bool,
    /// Notices of clients that have gone. Default: `true`.
    pub disconnected: bool,
    /// The names of the messages, without regard to case; `*` is every one. Default: `*`.
    pub messages: Vec<String>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            connect: true,
            connected: true,
            disconnected: true,
            messages: vec!["*".into()],
        }
    }
}

/// Why an upstream cannot be made of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The hub's name is empty or has characters that no hub has.
    #[error("`{0}` cannot name a hub")]
    Hub(String),
    /// There is no transport for the URL, or it cannot use what it was told.
    #[error("the URL of the service: {0}")]
    Url(UrlError),
}

impl UpstreamConfig {
    pub(crate) fn link(&self) -> Result<upstream::Config, ConfigError> {
        let hub = headwater_proto::subprotocol::hub_name(&self.hub)
            .ok_or_else(|| ConfigError::Hub(self.hub.clone()))?;
        let events = self.events.clone();
        let link = upstream::Config {
            hub,
            app: self.app.clone(),
            app_version: self.app_version.clone(),
            events: Some(v1::EventFilter {
                connect: events.connect,
                connected: events.connected,
                disconnected: events.disconnected,
                messages: events.messages,
            }),
            window_events: self.window_events,
            window_bytes: self.window_bytes,
            register_timeout: self.register_timeout,
        };
        Ok(match self.mapping {
            Mapping::Stream => link,
            // The service counts differently, so the session looks after the window.
            Mapping::Calls => upstream::Config {
                window_events: u32::MAX,
                window_bytes: u64::MAX,
                ..link
            },
        })
    }

    /// What may be under way here at once.
    pub(crate) const fn window(&self) -> v1::Window {
        upstream::window(self.window_events, self.window_bytes)
    }

    pub(crate) const fn bounds(&self) -> Bounds {
        Bounds {
            commands: self.commands_waiting_max,
            bytes: self.command_bytes_waiting_max,
        }
    }

    /// What the transport is told beside the URL.
    pub(crate) fn client_options(&self) -> ClientOptions {
        client_options(
            #[cfg(feature = "tls")]
            &self.tls,
            #[cfg(feature = "in-process")]
            &self.in_process,
        )
    }
}

/// The waits between attempts.
pub(crate) fn back_off() -> BackOff {
    BackOff {
        initial: Duration::from_millis(200),
        max: Duration::from_secs(10),
        ..BackOff::default()
    }
}

/// What the transport is told by all who hold calls for long.
pub(crate) fn client_options(
    #[cfg(feature = "tls")] tls: &headwater_rpc::tls::ClientTls,
    #[cfg(feature = "in-process")] in_process: &headwater_in_process::Names,
) -> ClientOptions {
    ClientOptions {
        #[cfg(feature = "tls")]
        tls: tls.clone(),
        #[cfg(feature = "in-process")]
        in_process: in_process.clone(),
        #[cfg(feature = "http2")]
        http2: headwater_http2::Http2ClientConfig {
            keepalive: Some(headwater_http2::Keepalive {
                timeout: SILENCE_MAX,
                ..headwater_http2::Keepalive::default()
            }),
            ..headwater_http2::Http2ClientConfig::default()
        },
        // The others ask by themselves.
        ..ClientOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_has_a_name() {
        let config = |hub: &str| UpstreamConfig {
            hub: hub.into(),
            ..UpstreamConfig::default()
        };
        assert_eq!(config("Chat").link().expect("a name").hub, "chat");
        for bad in ["", "a b", "1a"] {
            assert_eq!(config(bad).link().err(), Some(ConfigError::Hub(bad.into())));
        }
    }

    #[test]
    fn the_key_is_not_in_the_debug_output() {
        let config = UpstreamConfig {
            connection_string: "Endpoint=http://h:1;AccessKey=hush".parse().ok(),
            ..UpstreamConfig::default()
        };
        assert!(config.connection_string.is_some());
        assert!(!format!("{config:?}").contains("hush"));
    }
}
