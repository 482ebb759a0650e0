//! The transports that upstreams come over: one URL each.

use std::sync::atomic::{AtomicU32, Ordering};

use headwater_rpc::tls::DevCertificates;
use headwater_transports::{Scheme, ServerOptions, UrlServer};
use headwater_upstream::{Handler, Mapping, Upstream, UpstreamConfig};

use super::{Running, Stage};

/// Where a service can take upstreams: one URL for each transport that is built.
pub(crate) fn upstream_urls() -> impl Iterator<Item = String> {
    let urls = Scheme::built().map(|scheme| {
        if scheme == Scheme::InProcess {
            return "inproc://service".to_owned();
        }
        if scheme != Scheme::Unix {
            return format!("{scheme}://127.0.0.1:0");
        }
        static SOCKETS: AtomicU32 = AtomicU32::new(0);
        let number = SOCKETS.fetch_add(1, Ordering::Relaxed);
        let name = format!("headwater-service-{}-{number}.sock", std::process::id());
        format!("unix:{}", std::env::temp_dir().join(name).display())
    });
    // Shown if the test fails.
    urls.inspect(|url| eprintln!("over {url}"))
}

impl Stage {
    /// The SDK's upstream, registered. It differs from one at any other URL in nothing but the URL.
    pub(crate) async fn upstream_over(&self, url: &str, handler: impl Handler) -> Running {
        self.upstream_mapped(url, Mapping::Stream, handler).await
    }

    /// [`Stage::upstream_over`], with the link on one stream or in plain calls: nothing else differs either.
    pub(crate) async fn upstream_mapped(
        &self,
        url: &str,
        mapping: Mapping,
        handler: impl Handler,
    ) -> Running {
        let certificates = DevCertificates::generate().expect("they can be made");
        let options = ServerOptions {
            tls: Some(certificates.server()),
            ..ServerOptions::default()
        };
        let transport = UrlServer::bind(url, &options).await;
        let transport = transport.unwrap_or_else(|error| panic!("{url}: {error}"));
        let config = UpstreamConfig {
            url: transport.url().to_owned(),
            tls: certificates.client(),
            in_process: options.in_process,
            mapping,
            ..self.upstream_config()
        };
        let server = self.service.upstream_server(transport);
        tokio::spawn(async move { server.serve().await });
        Running::start(Upstream::new(config, handler).expect("configured")).await
    }
}
