//! What `serve` and `demo` have in common: a service from its start to its orderly end.

use std::{
    io::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use headwater::{
    Service,
    auth::{AccessKey, ClientGrant, client_url},
};
use headwater_rpc::{Server, Status};
use tokio::{sync::watch, task::JoinSet};

use super::{Error, signals::Signals};

/// Runs `main` on a runtime of its own.
pub(super) fn block_on(main: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(main)
}

/// What runs until it is told to stop.
pub(super) struct Running {
    pub(super) service: Service,
    /// Turns to `true` when no more clients are to be accepted.
    pub(super) stop: watch::Sender<bool>,
    pub(super) servers: Vec<Server>,
    serving: JoinSet<Result<(), Status>>,
    signals: Signals,
}

impl Running {
    /// Listens for signals from now on.
    pub(super) fn new(service: Service) -> Result<Self, Error> {
        Ok(Self {
            service,
            stop: watch::Sender::new(false),
            servers: Vec::new(),
            serving: JoinSet::new(),
            signals: Signals::listen()?,
        })
    }

    /// Done when no more clients are to be accepted.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.subscribe();
        async move {
            // A sender that is gone means the same.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    /// Serves clients in a task of its own.
    pub(super) fn serve_clients(&mut self, serving: impl Future<Output = ()> + Send + 'static) {
        self.serving.spawn(async move {
            serving.await;
            Ok(())
        });
    }

    /// Serves upstreams in a task of its own.
    pub(super) fn serve_upstreams(&mut self, server: Server) {
        self.servers.push(server.clone());
        self.serving.spawn(async move { server.serve().await });
    }

    /// Waits for SIGTERM or SIGINT, or for a listener that fails; then leaves in order.
    pub(super) async fn until_told(mut self, drain_timeout: Duration) -> Result<(), Error> {
        let failed = tokio::select! {
            () = self.signals.next() => None,
            ended = self.serving.join_next() => ended,
        };
        if let Some(ended) = failed {
            ended??;
            return Err("a listener ended by itself".into());
        }
        let (clients, upstreams) = self.service.counts();
        tracing::info!(
            clients,
            upstreams,
            "leaving: clients are closed, upstreams are told"
        );
        self.stop.send_replace(true);
        let leaving = async {
            let begin = tokio::time::Instant::now();
            let delivered = self.service.drain(drain_timeout).await;
            for server in &self.servers {
                server.begin_graceful_shutdown();
            }
            let left = drain_timeout.saturating_sub(begin.elapsed());
            let all_ended = async { while self.serving.join_next().await.is_some() {} };
            let ended = tokio::time::timeout(left, all_ended).await.is_ok();
            delivered && ended
        };
        let all_settled = tokio::select! {
            all_settled = leaving => all_settled,
            () = self.signals.next() => false,
        };
        if all_settled {
            tracing::info!("all is delivered and settled");
        } else {
            tracing::warn!(
                "left before all was settled: the drain timeout was reached, or a second signal came"
            );
        }
        Ok(())
    }
}

/// What a person or a program needs first, on stdout and never in the log: it is secret.
pub(super) fn introduce(service: &Service, endpoint: &str, key: &AccessKey) -> Result<(), Error> {
    let roles = [
        "webpubsub.joinLeaveGroup".to_owned(),
        "webpubsub.sendToGroup".to_owned(),
    ];
    let grant = ClientGrant {
        user_id: Some("example"),
        roles: &roles,
        ..ClientGrant::new("chat")
    };
    let url = client_url(endpoint, key, &grant, unix_seconds())?;
    let connection_string = service
        .connection_string()
        .ok_or("the endpoint or the access key is not valid")?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "connection string: {connection_string}")?;
    writeln!(stdout, "example client URL: {url}")?;
    stdout.flush()?;
    Ok(())
}

/// The key that was given, or a fresh one: 256 bits of randomness.
pub(super) fn access_key(given: Option<&str>) -> Result<AccessKey, Error> {
    if let Some(text) = given {
        return Ok(AccessKey::new(text)?);
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(AccessKey::new(&URL_SAFE_NO_PAD.encode(bytes))?)
}

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Reads a number of seconds, such as `10` or `0.5`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| format!("`{text}` is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
