//! Serves until it is told to stop.

use std::{io, process::ExitCode, time::Duration};

use headwater_rpc::{Router, Server, ServerConfig};
use headwater_services::{
    Health, Reflection,
    health::{ServingStatus, v1::HEALTH},
};
use headwater_transports::{ServerOptions, UrlServer};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use crate::{
    pigweed::Echo,
    protocol::{
        TEST_SERVICE, TestServiceServer,
        pigweed::{BENCHMARK, BenchmarkServer, ECHO_SERVICE, EchoServiceServer},
    },
    service::Interop,
};

/// How long calls may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Serves the interop cases, pw_rpc's own services, health and reflection on all URLs, until SIGTERM or SIGINT.
pub(crate) async fn serve(urls: &[String], options: &ServerOptions) -> ExitCode {
    match try_serve(urls, options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("interop: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn try_serve(
    urls: &[String],
    options: &ServerOptions,
) -> Result<(), Box<dyn std::error::Error>> {
    let router = Router::new();
    router.add(TestServiceServer::new(Interop).into_service())?;
    router.add(EchoServiceServer::new(Echo).into_service())?;
    router.add(BenchmarkServer::new(Echo).into_service())?;
    let health = Health::new();
    for service in [&TEST_SERVICE, &ECHO_SERVICE, &BENCHMARK] {
        health.set(service.name, ServingStatus::Serving);
    }
    router.add(health.service())?;
    let reflection = Reflection::new();
    for service in [&TEST_SERVICE, &ECHO_SERVICE, &BENCHMARK, &HEALTH] {
        reflection.add(service)?;
    }
    for service in reflection.services() {
        router.add(service)?;
    }
    let mut servers: Vec<Server> = Vec::new();
    for url in urls {
        let bound = UrlServer::bind(url, options).await;
        let transport = bound.map_err(|error| format!("{url}: {error}"))?;
        println!("listening {}", transport.url());
        let server = Server::new(transport, router.clone(), ServerConfig::default());
        servers.push(server);
    }
    let mut serving = JoinSet::new();
    for server in servers.clone() {
        serving.spawn(async move { server.serve().await });
    }
    let told = told_to_stop()?;
    println!("ready");
    tokio::select! {
        () = told => {}
        ended = serving.join_next() => {
            ended.transpose()?.transpose()?;
            return Err("a listener ended by itself".into());
        }
    }
    health.stop();
    for server in &servers {
        server.begin_graceful_shutdown();
    }
    let all_ended = async { while serving.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all_ended).await.is_err() {
        eprintln!("interop: stopped with calls that were still open after {GRACE:?}");
    }
    Ok(())
}

/// Listens for signals from now on; the future ends with the first.
fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
