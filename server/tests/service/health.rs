//! What a probe learns of the service, without a token.

use headwater_rpc::{Client, Code};
use headwater_services::health::v1::{
    HealthCheckRequest, HealthClient, HealthListRequest, health_check_response::ServingStatus,
};

use crate::{stops::Stopping, support::*};

async fn check(client: &Client, service: &str) -> Result<ServingStatus, Code> {
    let service = service.to_owned();
    let health = HealthClient::new(client.clone());
    let answer = health.check(HealthCheckRequest { service }).await;
    answer
        .map(|answer| answer.status())
        .map_err(|status| status.code)
}

#[tokio::test]
async fn services_serve_until_the_service_leaves() {
    let stage = Stage::start().await;
    let stopping = Stopping::of(&stage.service);
    let client = &stopping.client;
    let health = HealthClient::new(client.clone());
    let list = health.list(HealthListRequest {}).await.expect("answered");
    let listed: Vec<_> = list.statuses.into_keys().collect();
    assert!(
        listed.len() > 2 && listed.iter().any(|name| name == "headwater.v1.Upstream"),
        "{listed:?}"
    );
    for service in &listed {
        assert_eq!(
            check(client, service).await,
            Ok(ServingStatus::Serving),
            "{service}"
        );
    }
    assert_eq!(check(client, "no.such.Service").await, Err(Code::NotFound));

    assert!(stage.service.drain(FAR).await, "nothing is open");
    for service in &listed {
        assert_eq!(
            check(client, service).await,
            Ok(ServingStatus::NotServing),
            "{service}"
        );
    }
}
