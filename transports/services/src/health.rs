//! gRPC's health service, after `health-checking.md` of gRPC.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use headwater_rpc::{
    Code, Metadata, Service, Status,
    stub::{Failure, Messages, ServerContext, ServerRequest, Sink},
};
use tokio::{sync::watch, time::timeout};

use v1::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, HealthServer,
    health_check_response::ServingStatus as Wire,
};

/// What is generated from `grpc/health/v1/health.proto`, the client included.
pub mod v1 {
    headwater_rpc::include_proto!("grpc.health.v1");
}

/// The most services that `List` gives.
const LIST_MAX: usize = 100;
/// How long the request of a watch may take to come: the call itself has no bound.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest name that is looked for, in bytes: a watch keeps it, and anybody may watch.
const NAME_BYTES_MAX: usize = 1 << 10;
/// The server as a whole.
const SERVER: &str = "";

/// Whether a service can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServingStatus {
    /// It is not known.
    Unknown,
    /// It can be called.
    Serving,
    /// It is there, and cannot be called now.
    NotServing,
}

/// How a server and its services are. Clones share it.
///
/// `Check` fails with `NOT_FOUND` for a service of which nothing was said; `Watch` tells of it as unknown and goes on. When
/// the server is stopping gracefully, `Watch` ends with `UNAVAILABLE`, so that it holds nothing up. Its request has to come
/// within 10 s, and names of more than 1 KiB are refused: anybody may watch, for as long as they like.
#[derive(Debug, Clone)]
pub struct Health {
    statuses: Arc<watch::Sender<Statuses>>,
}

#[derive(Debug)]
struct Statuses {
    services: BTreeMap<Arc<str>, ServingStatus>,
    stopped: bool,
}

impl Health {
    /// A server that serves, and of whose services nothing is known yet.
    pub fn new() -> Self {
        let services = BTreeMap::from([(Arc::from(SERVER), ServingStatus::Serving)]);
        let statuses = Statuses {
            services,
            stopped: false,
        };
        Self {
            statuses: Arc::new(watch::Sender::new(statuses)),
        }
    }

    /// Says how a service is, by its full name; the empty one is the server as a whole. Does nothing after
    /// [`Health::stop`].
    pub fn set(&self, service: impl Into<Arc<str>>, status: ServingStatus) {
        let service = service.into();
        self.statuses.send_if_modified(|statuses| {
            !statuses.stopped && statuses.services.insert(service, status) != Some(status)
        });
    }

    /// Says that there is no such service any more.
    pub fn clear(&self, service: &str) {
        self.statuses.send_if_modified(|statuses| {
            !statuses.stopped && statuses.services.remove(service).is_some()
        });
    }

    /// Says that nothing serves any more, for good: what a server says before it stops, so that nobody is sent to it.
    pub fn stop(&self) {
        self.statuses.send_modify(|statuses| {
            statuses.stopped = true;
            let services = statuses.services.values_mut();
            services.for_each(|status| *status = ServingStatus::NotServing);
        });
    }

    /// How a service is; `None` if nothing was said of it.
    pub fn status(&self, service: &str) -> Option<ServingStatus> {
        self.statuses.borrow().services.get(service).copied()
    }

    /// What a router serves.
    pub fn service(&self) -> Service {
        HealthServer::new(self.clone()).into_service()
    }

    /// Sends how the service is, now and whenever it changes, until that fails.
    async fn tell(&self, service: &str, responses: &Sink<HealthCheckResponse>) -> Status {
        let mut statuses = self.statuses.subscribe();
        let mut told = None;
        loop {
            let status = statuses.borrow_and_update().services.get(service).copied();
            let status = status.map_or(Wire::ServiceUnknown, Wire::from);
            if told != Some(status) {
                if let Err(failed) = responses.send(response(status)).await {
                    return failed;
                }
                told = Some(status);
            }
            // The sender is part of `self`, so it cannot be gone.
            let _ = statuses.changed().await;
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl From<ServingStatus> for Wire {
    fn from(status: ServingStatus) -> Self {
        match status {
            ServingStatus::Unknown => Self::Unknown,
            ServingStatus::Serving => Self::Serving,
            ServingStatus::NotServing => Self::NotServing,
        }
    }
}

impl v1::Health for Health {
    async fn check(&self, request: HealthCheckRequest) -> Result<HealthCheckResponse, Status> {
        let unknown = || Status::new(Code::NotFound, "there is no service of this name");
        let status = self.status(&request.service).ok_or_else(unknown)?;
        Ok(response(status.into()))
    }

    async fn list(&self, _: HealthListRequest) -> Result<HealthListResponse, Status> {
        let statuses = self.statuses.borrow();
        if statuses.services.len() > LIST_MAX {
            let message = format!("there are more than {LIST_MAX} services");
            return Err(Status::new(Code::ResourceExhausted, message));
        }
        let services = statuses.services.iter();
        let statuses = services
            .map(|(service, status)| (service.to_string(), response((*status).into())))
            .collect();
        Ok(HealthListResponse { statuses })
    }

    async fn watch_streaming(
        &self,
        request: ServerRequest<Messages<HealthCheckRequest>>,
        responses: Sink<HealthCheckResponse>,
    ) -> Result<Metadata, Failure> {
        let ServerContext { cancellation, .. } = request.context;
        let service = timeout(REQUEST_TIMEOUT, watched(request.message)).await;
        let late = |_| Status::new(Code::DeadlineExceeded, "the request did not come in time");
        let service = service.map_err(late)??;
        let status = tokio::select! {
            // For whatever other reason, nobody hears the answer.
            _ = cancellation.cancelled() => Status::new(Code::Unavailable, "the server is stopping"),
            status = self.tell(&service, &responses) => status,
        };
        Err(status.into())
    }
}

/// The service that is to be watched.
async fn watched(mut requests: Messages<HealthCheckRequest>) -> Result<String, Status> {
    let mut service = String::new();
    while let Some(request) = requests.message().await? {
        service = request.service;
    }
    if service.len() > NAME_BYTES_MAX {
        let message = format!("the name of a service has at most {NAME_BYTES_MAX} bytes");
        return Err(Status::new(Code::InvalidArgument, message));
    }
    Ok(service)
}

fn response(status: Wire) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}
