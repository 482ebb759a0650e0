//! Servers of upstreams that stop while the service goes on: every call that could last for ever ends.

use headwater_rpc::{Client as RpcClient, Code, Server, Status};
use headwater_upstream::v1;
use tokio::task::JoinHandle;

use crate::{
    support::*,
    upstreams::{acked, echoed},
};

/// A server in this process that can be stopped, and its client.
pub(crate) struct Stopping {
    pub(crate) client: RpcClient,
    server: Server,
    serving: JoinHandle<Result<(), Status>>,
}

impl Stopping {
    pub(crate) fn of(service: &headwater::Service) -> Self {
        let (client, server) = headwater_in_process::pair();
        let (client, server) = (RpcClient::new(client), service.upstream_server(server));
        let (connecting, serving) = (client.clone(), server.clone());
        tokio::spawn(async move { connecting.connect().await });
        let serving = tokio::spawn(async move { serving.serve().await });
        Self {
            client,
            server,
            serving,
        }
    }

    pub(crate) fn stop(&self) {
        self.server.begin_graceful_shutdown();
    }

    /// Waits until no call is left.
    pub(crate) async fn served(self) {
        let served = soon("the end of the server", self.serving).await;
        assert_eq!(served.expect("no panic"), Ok(()));
    }
}

/// A link over such a server, and a client whose event it was sent.
async fn under_way(stage: &Stage) -> (Stopping, Link, Client, v1::Event) {
    let stopping = Stopping::of(&stage.service);
    let mut link = Link::open(stopping.client.clone(), &token(&[])).await;
    link.register(register()).await;
    let mut client = link.admit(stage.knock("chat")).await;
    client.event("say", "?", 1).await;
    let said = link.event().await;
    (stopping, link, client, said)
}

#[tokio::test]
async fn a_server_that_stops_ends_a_link_once_what_it_was_sent_is_settled() {
    let stage = Stage::start().await;
    let (stopping, mut link, mut client, said) = under_way(&stage).await;
    stopping.stop();
    quiet().await;
    assert_eq!(stage.service.counts(), (1, 1), "it may still answer");
    link.reply(&said, "in time");
    link.settle(&said);
    assert_eq!(client.json().await, echoed("in time"));
    assert_eq!(client.json().await, acked(1));
    assert_eq!(link.end().await, Ok(()), "in order");
    stopping.served().await;
    assert_eq!(stage.service.counts(), (1, 0), "the client stays");
}

#[tokio::test]
async fn a_server_that_stops_waits_for_no_upstream_that_has_gone() {
    let stage = Stage::start().await;
    let (stopping, link, _client, _) = under_way(&stage).await;
    stopping.stop();
    quiet().await;
    drop(link);
    stopping.served().await;
}

#[tokio::test]
async fn a_server_that_stops_ends_a_link_that_has_not_registered() {
    let stage = Stage::start().await;
    let stopping = Stopping::of(&stage.service);
    let mut link = Link::open(stopping.client.clone(), &token(&[])).await;
    quiet().await;
    stopping.stop();
    let status = link.end().await.expect_err("it was not taken");
    assert_eq!(status.code, Code::Unavailable);
    stopping.served().await;
}
