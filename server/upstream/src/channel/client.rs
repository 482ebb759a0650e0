//! The connection that producers and consumers share.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::BuildHasher as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use headwater_core::Waits;
use headwater_proto::{Code, Metadata, Status, push_channel};
use headwater_rpc::{CallOptions, Client};
use headwater_transports::client;
use prost::Message as _;
use tokio::{runtime::Handle, task::JoinHandle};

use super::{ChannelConfig, Consumer, ConsumerOptions, History, Producer};
use crate::{
    config::ConfigError,
    token::{self, bearer},
};

const HISTORY: &str = "/MessageSync/GetHistory";

/// A longer time for a submission is like this one: it does not end, and can be counted (100 years).
const SUBMIT_TIMEOUT_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A client of a service's push channels. Clones, and the producers and consumers that it makes, share its connection, which
/// is made again whenever it is lost, and closed when all of them are dropped.
#[derive(Clone)]
pub struct ChannelClient {
    pub(super) connection: Arc<Connection>,
}

/// What the producers and consumers of one client share.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) config: ChannelConfig,
    /// Where the tasks of producers run.
    pub(super) runtime: Handle,
    running: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl ChannelClient {
    /// A client that reaches its service by [`ChannelConfig::url`]. It connects with the first call.
    ///
    /// # Errors
    ///
    /// The URL is one where this build cannot go, or TLS cannot be used as configured.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(config: ChannelConfig) -> Result<Self, ConfigError> {
        let client = client(&config.url, &config.client_options()).map_err(ConfigError::Url)?;
        Ok(Self::over(client.build(), config))
    }

    /// A client that reaches its service by this one, such as one of an in-process pair. It is run
    /// ([`Client::connect`]), unless somebody else does.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn over(client: Client, mut config: ChannelConfig) -> Self {
        config.submit_timeout = config.submit_timeout.min(SUBMIT_TIMEOUT_MAX);
        let runs = client.clone();
        let running = tokio::spawn(async move {
            // It fails if somebody else runs it, which is as good.
            let _ = runs.connect().await;
        });
        let connection = Connection {
            client,
            config,
            runtime: Handle::current(),
            running,
        };
        Self {
            connection: Arc::new(connection),
        }
    }

    /// A producer for the channel of this name, of 256 bytes at most, with a call of its own.
    pub fn producer(&self, channel: impl Into<String>) -> Producer {
        Producer::new(Arc::clone(&self.connection), channel.into())
    }

    /// A consumer of the channel of this name, of 256 bytes at most. It begins with its first
    /// [`Consumer::recv`].
    pub fn consumer(&self, channel: impl Into<String>, options: ConsumerOptions) -> Consumer {
        Consumer::new(Arc::clone(&self.connection), channel.into(), options)
    }

    /// A page of what the channel has had lately, taken or not: at most `limit` messages, 1 to 1,000, from this offset on,
    /// or from the oldest that is kept.
    ///
    /// # Errors
    ///
    /// What the service says, or that it cannot be reached. It is asked once.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn history(
        &self,
        channel: &str,
        from_offset: u64,
        limit: u32,
    ) -> Result<History, Status> {
        let request = push_channel::HistoryRequest {
            channel: channel.into(),
            from_offset,
            limit,
            ..push_channel::HistoryRequest::default()
        };
        let metadata = self.connection.metadata(channel)?;
        let request = request.encode_to_vec().into();
        let options = CallOptions {
            timeout: Some(self.connection.config.submit_timeout),
            ..CallOptions::default()
        };
        let client = &self.connection.client;
        let answer = client.unary(HISTORY, metadata, request, options).await?;
        let answer = push_channel::HistoryReply::decode(answer)
            .map_err(|error| Status::new(Code::Internal, error.to_string()))?;
        Ok(answer.into())
    }
}

impl Connection {
    /// The waits between the attempts of one producer or consumer.
    pub(super) fn waits(&self) -> Waits {
        let seed = self.config.seed;
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one("jitter"));
        self.config.back_off.waits(seed)
    }

    /// What a call for this channel carries: a token that was made just now.
    pub(super) fn metadata(&self, channel: &str) -> Result<Metadata, Status> {
        let config = &self.config;
        let Some(connection) = &config.connection_string else {
            return Ok(Metadata::new());
        };
        let bound_to = token::BoundTo::Channel(channel);
        let minted = token::mint(
            connection,
            bound_to,
            config.token_lifetime,
            SystemTime::now(),
        );
        let minted = minted.map_err(|error| Status::new(Code::Internal, error.to_string()))?;
        bearer(Some(&minted))
    }
}

impl fmt::Debug for ChannelClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelClient").finish_non_exhaustive()
    }
}
