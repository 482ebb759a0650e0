//! `headwater demo`: the service, a chat application, and a page for people, in one process.

mod chat;
mod pages;

use std::time::Duration;

use clap::Args;
use headwater::{Service, ServiceConfig};
use headwater_upstream::{Upstream, UpstreamConfig};

use self::{chat::Chat, pages::Pages};
use super::{
    Error,
    clients::ListenClients,
    run::{self, Running},
    tls::Tls,
};

/// The hub of the demo.
const HUB: &str = "chat";
/// How long leaving may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a chat: the service, its application, and a page, in one process.
///
/// Open the address that it prints in two browser tabs. Everybody who can reach the address can chat, so it listens on
/// loopback unless told otherwise.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Where the page and the service listen: an address, or with TLS https://ADDR. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen_clients: ListenClients,
    #[command(flatten)]
    tls: Tls,
}

impl Demo {
    pub(super) fn run(self) -> Result<(), Error> {
        run::block_on(self.demonstrate())
    }

    async fn demonstrate(self) -> Result<(), Error> {
        let key = run::access_key(None)?;
        let identity = self.tls.identity()?;
        let tls = identity.as_ref().map(|identity| &identity.config);
        let clients = self.listen_clients.bind(tls).await?;
        let (url, endpoint) = (clients.url(), clients.endpoint());
        let service = Service::new(ServiceConfig {
            endpoints: vec![endpoint.clone()],
            ..ServiceConfig::new(key.clone())
        });

        let mut running = Running::new(service.clone())?;
        let config = UpstreamConfig {
            hub: HUB.into(),
            app: "demo".into(),
            connection_string: service.connection_string(),
            ..UpstreamConfig::default()
        };
        let upstream = Upstream::over(service.connect_in_process(), config, Chat)?;
        let hub = upstream.hub();
        let application = tokio::spawn(upstream.run());
        if !hub.registered().await {
            return Err("the demo's application could not register".into());
        }

        let pages = Pages::new(HUB, key.clone(), clients.scheme);
        let listener = clients.listener;
        let stopped = running.stopped();
        let serving = service.clone();
        running.serve_clients(async move {
            serving
                .serve_clients_and(listener, move |request| pages.answer(request), stopped)
                .await;
        });
        run::introduce(&service, &endpoint, &key)?;
        if let Some(identity) = &identity {
            identity.introduce();
        }
        println!("open {endpoint}/ in two browser tabs");
        println!("ready clients={url}");
        let result = running.until_told(DRAIN_TIMEOUT).await;
        application.abort();
        result
    }
}
