//! Health, as a client sees it.

use headwater_conformance::{Fixture, for_each_transport};
use headwater_rpc::{
    CallOptions, Client, Code, Metadata, Router, Server, ServerConfig, stub::Messages,
};
use headwater_services::{
    Health,
    health::{
        ServingStatus,
        v1::{
            HealthCheckRequest, HealthCheckResponse, HealthClient, HealthListRequest,
            health_check_response::ServingStatus as Wire,
        },
    },
};
use tokio::time::Instant;

const SERVICE: &str = "a.Service";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

fn serve(fixture: &Fixture) -> (Health, HealthClient) {
    let health = Health::new();
    let added = fixture.router.add(health.service());
    added.expect("nothing else is called so");
    (health, HealthClient::new(fixture.client.clone()))
}

async fn next(statuses: &mut Messages<HealthCheckResponse>) -> Wire {
    let message = statuses.message().await.expect("the watch goes on");
    message.expect("the watch has no end").status()
}

/// S4-38: the health service.
#[test]
fn s4_38_health_is_told_of_the_server_and_of_each_service() {
    for_each_transport(async |transport| {
        let fixture = Fixture::new(transport).await;
        let (health, client) = serve(&fixture);
        let server = client.check(of("")).await.expect("it is known");
        assert_eq!(server.status(), Wire::Serving, "a new server serves");
        let unknown = client.check(of(SERVICE)).await;
        let code = unknown.expect_err("nothing was said of it").code;
        assert_eq!(code, Code::NotFound);

        health.set(SERVICE, ServingStatus::NotServing);
        let service = client.check(of(SERVICE)).await.expect("it is known");
        assert_eq!(service.status(), Wire::NotServing);
        let list = client
            .list(HealthListRequest {})
            .await
            .expect("few services");
        let mut list: Vec<_> = list.statuses.iter().collect();
        list.sort_by_key(|(name, _)| *name);
        let names: Vec<_> = list
            .iter()
            .map(|(name, one)| (name.as_str(), one.status()))
            .collect();
        assert_eq!(names, [("", Wire::Serving), (SERVICE, Wire::NotServing)]);
    });
}

/// S4-38: the health service.
#[test]
fn s4_38_a_watch_tells_of_each_change_once() {
    for_each_transport(async |transport| {
        let fixture = Fixture::new(transport).await;
        let (health, client) = serve(&fixture);
        let mut watch = client.watch(of(SERVICE)).await.expect("it opens");
        assert_eq!(next(&mut watch).await, Wire::ServiceUnknown);
        health.set(SERVICE, ServingStatus::Serving);
        assert_eq!(next(&mut watch).await, Wire::Serving);
        // Neither the same again nor another service's is told.
        health.set(SERVICE, ServingStatus::Serving);
        health.set("another.Service", ServingStatus::Serving);
        health.set(SERVICE, ServingStatus::Unknown);
        assert_eq!(next(&mut watch).await, Wire::Unknown);
        health.clear(SERVICE);
        assert_eq!(next(&mut watch).await, Wire::ServiceUnknown);
    });
}

#[test]
fn what_has_stopped_never_serves_again() {
    let health = Health::new();
    health.set(SERVICE, ServingStatus::Serving);
    health.stop();
    health.set(SERVICE, ServingStatus::Serving);
    health.clear("");
    assert_eq!(health.status(SERVICE), Some(ServingStatus::NotServing));
    assert_eq!(health.status(""), Some(ServingStatus::NotServing));
}

#[test]
fn a_watch_holds_no_graceful_stop_up() {
    for_each_transport(async |transport| {
        let fixture = Fixture::new(transport).await;
        let (_, client) = serve(&fixture);
        let mut watch = client.watch(of("")).await.expect("it opens");
        assert_eq!(next(&mut watch).await, Wire::Serving);
        fixture.server.begin_graceful_shutdown();
        let ended = watch.message().await.expect_err("the server is stopping");
        assert_eq!(ended.code, Code::Unavailable, "{ended}");
    });
}

/// Whoever may ask for nothing else may still watch, so that it has to cost little.
#[test]
fn a_watch_is_not_kept_for_a_name_that_nothing_can_have() {
    for_each_transport(async |transport| {
        let fixture = Fixture::new(transport).await;
        let (_, client) = serve(&fixture);
        let watch = client.watch(of(&"n".repeat(1025))).await;
        let ended = watch.expect("it opens").message().await;
        let code = ended.expect_err("no service is called so").code;
        assert_eq!(code, Code::InvalidArgument);
    });
}

/// As above: a watch has no deadline, and its request has.
#[tokio::test(start_paused = true)]
async fn a_watch_is_not_kept_for_a_request_that_does_not_come() {
    let router = Router::new();
    let added = router.add(Health::new().service());
    added.expect("nothing else is called so");
    let (client, server) = headwater_in_process::pair();
    let server = Server::new(server, router, ServerConfig::default());
    let client = Client::new(client);
    let connecting = client.clone();
    tokio::spawn(async move { server.serve().await });
    tokio::spawn(async move { connecting.connect().await });
    let watch = client.call(WATCH, Metadata::new(), CallOptions::default());
    let (_sender, mut receiver) = watch.await.expect("it opens");
    let begun = Instant::now();
    let ended = receiver.next_batch(&mut Vec::new()).await;
    let status = ended.expect_err("nothing was asked").status;
    assert_eq!(status.code, Code::DeadlineExceeded, "{status}");
    assert_eq!(begun.elapsed().as_secs(), 10);
}
