use std::sync::Arc;

use async_trait::async_trait;
use headwater_rpc::{
    Code, ServiceConfig, Status,
    channel::{Channel, Policy, Resolution, Resolver, Resolvers, State, Updates},
};
use tokio::sync::mpsc;

use crate::{
    fixture::{Fixture, addresses, pick_first},
    network::Network,
};

/// Tells the channel what a test says.
struct Pushed(mpsc::UnboundedReceiver<Result<Resolution, Status>>);

pub(crate) struct Pushes(mpsc::UnboundedSender<Result<Resolution, Status>>);

impl Pushes {
    pub(crate) fn push(&self, ports: &[u16]) {
        self.tell(Ok(Resolution::addresses(addresses(ports))));
    }

    fn tell(&self, told: Result<Resolution, Status>) {
        self.0.send(told).expect("the resolver runs");
    }
}

/// A resolver that has been told these ports.
pub(crate) fn pushed(ports: &[u16]) -> (Pushes, Box<dyn Resolver>) {
    let (pushes, told) = mpsc::unbounded_channel();
    let pushes = Pushes(pushes);
    pushes.push(ports);
    (pushes, Box::new(Pushed(told)))
}

#[async_trait]
impl Resolver for Pushed {
    async fn run(&mut self, updates: Updates) {
        while let Some(told) = self.0.recv().await {
            updates.push(told);
        }
    }
}

/// S4-60: a resolver of one's own pushes new lists whenever it likes.
#[tokio::test(start_paused = true)]
async fn s4_60_a_custom_resolver_pushes_a_new_list() {
    let network = Network::new();
    network.up(1).await;
    network.up(2).await;
    let (pushes, resolver) = pushed(&[1]);
    let fixture = Fixture::resolved_by(&network, resolver, pick_first());
    assert_eq!(fixture.who().await, Ok(1));
    let mut told = fixture.channel.service_config();
    assert_eq!(**told.borrow_and_update(), ServiceConfig::default());

    let config = Arc::new(ServiceConfig::default());
    pushes.tell(Ok(Resolution {
        addresses: addresses(&[2]),
        service_config: Some(Arc::clone(&config)),
    }));
    fixture.channel.state_change(State::Ready).await;
    assert_eq!(fixture.who().await, Ok(2));
    assert_eq!(network.connections(), [2]);
    let changed = told.has_changed().expect("the channel lives");
    assert!(changed, "the service config came too");
    assert!(Arc::ptr_eq(&config, &told.borrow()));
}

/// S4-61: the policy that came with the addresses comes before the channel's own, as long as it is there.
#[tokio::test(start_paused = true)]
async fn s4_61_the_resolver_chooses_the_policy() {
    let network = Network::new();
    network.up(1).await;
    network.up(2).await;
    let (pushes, resolver) = pushed(&[1, 2]);
    let fixture = Fixture::resolved_by(&network, resolver, pick_first());
    assert_eq!(fixture.who().await, Ok(1));
    assert_eq!(network.connections(), [1]);
    let config = ServiceConfig {
        load_balancing: Some(Policy::RoundRobin),
        ..ServiceConfig::default()
    };
    pushes.tell(Ok(Resolution {
        addresses: addresses(&[1, 2]),
        service_config: Some(Arc::new(config)),
    }));
    crate::fixture::settled().await;
    let mut answered = [fixture.who().await, fixture.who().await];
    answered.sort_by_key(|who| who.clone().ok());
    assert_eq!(answered, [Ok(1), Ok(2)]);
    pushes.push(&[1, 2]);
    crate::fixture::settled().await;
    assert_eq!(
        [fixture.who().await, fixture.who().await],
        [Ok(1), Ok(1)],
        "the channel's own again"
    );
    assert_eq!(network.connections(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_fails_later_does_no_harm() {
    let network = Network::new();
    network.up(1).await;
    let (pushes, resolver) = pushed(&[1]);
    let fixture = Fixture::resolved_by(&network, resolver, pick_first());
    assert_eq!(fixture.who().await, Ok(1));
    pushes.tell(Err(Status::new(Code::Unavailable, "no name server")));
    crate::fixture::settled().await;
    assert_eq!(fixture.who().await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_stands_for_nothing_fails_calls_until_it_does() {
    let network = Network::new();
    network.up(1).await;
    let (pushes, resolver) = pushed(&[]);
    let fixture = Fixture::resolved_by(&network, resolver, pick_first());
    let status = fixture.who().await.expect_err("there is no address");
    assert_eq!(
        (status.code, &*status.message),
        (Code::Unavailable, "the name has no address")
    );
    pushes.push(&[1]);
    fixture.channel.state_change(State::TransientFailure).await;
    assert_eq!(fixture.who().await, Ok(1));
}

/// S4-60: resolvers of one's own by their scheme; a fixed list and a name for the system by the built-in ones.
#[tokio::test(start_paused = true)]
async fn s4_60_schemes_have_their_resolvers() {
    let network = Network::new();
    network.up(1).await;
    let mut resolvers = Resolvers::default();
    resolvers.register("port", |target| {
        let port = target.endpoint().parse();
        let port = port.map_err(|_| Status::new(Code::InvalidArgument, "no port"))?;
        Ok(pushed(&[port]).1)
    });
    let targets = ["port:1", "port:///1", "ipv4:127.0.0.1:1", "127.0.0.1:1"];
    for target in targets {
        let resolver = resolvers.resolver(target);
        let resolver = resolver.unwrap_or_else(|status| panic!("{target}: {status}"));
        let fixture = Fixture::resolved_by(&network, resolver, pick_first());
        assert_eq!(fixture.who().await, Ok(1), "{target}");
    }
    let refused = Channel::to("port:///1", network, pick_first());
    let status = refused.expect_err("the default resolvers do not know it");
    assert_eq!(status.code, Code::InvalidArgument);
}
