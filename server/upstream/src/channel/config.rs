//! What a client of push channels is told before it runs.

use std::time::Duration;

use headwater_proto::ConnectionString;
use headwater_transports::ClientOptions;

use crate::{BackOff, config};

/// How a [`ChannelClient`](super::ChannelClient) reaches its service.
#[derive(Debug, Clone)]
pub struct ChannelConfig {
    /// Where the service takes applications; the scheme chooses the transport, of those that are built
    /// ([`headwater_transports`] has the table). Default: `http://127.0.0.1:8081`, which is HTTP/2 without TLS. Not looked
    /// at by [`ChannelClient::over`](super::ChannelClient::over).
    pub url: String,
    /// Whom the client trusts, and by what it proves who it is beside its token, where the URL is one with TLS. Default:
    /// the authorities of the system, and no certificate of its own.
    #[cfg(feature = "tls")]
    pub tls: headwater_rpc::tls::ClientTls,
    /// The names of `inproc://` URLs: the clone of those under which the service is bound. Default: some of its own, under
    /// which no service is found.
    #[cfg(feature = "in-process")]
    pub in_process: headwater_in_process::Names,
    /// Where the key comes from: each call carries a token made of it, which is good for that call's channel alone.
    /// Default: `None`, which sends no token; a service takes such calls only if it is told to.
    pub connection_string: Option<ConnectionString>,
    /// How long a token is valid. Each call has a fresh one, and submissions go on in another call after four fifths of it.
    /// Default: 1 h.
    pub token_lifetime: Duration,
    /// How long a submission may take, all its attempts together. A call of submissions on which nothing is answered for so
    /// long is given up. More than 100 years are 100 years. Default: 10 s.
    pub submit_timeout: Duration,
    /// How long to wait before trying again. Default: 200 ms, growing by 1.6 to 10 s, give or take a fifth.
    pub back_off: BackOff,
    /// What the jitter of [`ChannelConfig::back_off`] is drawn from. Default: `None`, which is another one each time.
    pub seed: Option<u64>,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8081".into(),
            #[cfg(feature = "tls")]
            tls: headwater_rpc::tls::ClientTls::default(),
            #[cfg(feature = "in-process")]
            in_process: headwater_in_process::Names::default(),
            connection_string: None,
            token_lifetime: Duration::from_secs(60 * 60),
            submit_timeout: Duration::from_secs(10),
            back_off: config::back_off(),
            seed: None,
        }
    }
}

impl ChannelConfig {
    /// What the transport is told beside the URL.
    pub(super) fn client_options(&self) -> ClientOptions {
        #[allow(unused_mut, reason = "not every build has a network")]
        let mut options = config::client_options(
            #[cfg(feature = "tls")]
            &self.tls,
            #[cfg(feature = "in-process")]
            &self.in_process,
        );
        #[cfg(feature = "http2")]
        self.configure(&mut options.http2.channel);
        #[cfg(feature = "http3")]
        self.configure(&mut options.http3.channel);
        #[cfg(feature = "websocket")]
        self.configure(&mut options.websocket.channel);
        options
    }

    /// The transport makes its connections anew by the same waits.
    #[cfg(any(feature = "http2", feature = "http3", feature = "websocket"))]
    const fn configure(&self, channel: &mut headwater_rpc::channel::ChannelConfig) {
        channel.balancer.back_off = self.back_off;
        channel.seed = self.seed;
    }
}
