//! Calls in any order, over packets in memory, and over a socket.

use headwater_proto::pw_rpc::{PacketType, RpcPacket};
use headwater_rpc::{Client, Router, Server, ServerConfig};
use headwater_websocket::{
    WebSocketClient, WebSocketClientConfig, WebSocketServer, WebSocketServerConfig,
    testing::{ClientServerContext, Fuzzer, Tally, benchmark_services},
};

/// A router with pw_rpc's echo and benchmark services.
pub(crate) fn echo() -> Router {
    let router = Router::new();
    for service in benchmark_services() {
        router.add(service).expect("they are two");
    }
    router
}

async fn ended(server: &Server) {
    while server.open_calls() > 0 {
        tokio::task::yield_now().await;
    }
}

/// S5-63: whatever a client does in whatever order, each answer is that of its message; and the same seed does the same.
#[tokio::test(start_paused = true)]
async fn s5_63_calls_in_any_order_are_answered_as_they_have_to_be() {
    for seed in 0..32 {
        let fuzzer = Fuzzer {
            seed,
            actions: 300,
            ..Fuzzer::default()
        };
        let mut tallies = Vec::new();
        for _ in 0..2 {
            let context = ClientServerContext::new(echo());
            let tally = fuzzer.run(context.client()).await;
            tallies.push(tally.unwrap_or_else(|wrong| panic!("{wrong}")));
            ended(context.server()).await;
        }
        let Tally {
            unary,
            opened,
            completed,
            cancelled,
            written,
            read,
        } = tallies[0];
        assert!(unary > 0 && written > 0 && read > 0, "{:?}", tallies[0]);
        assert_eq!(opened, completed + cancelled, "each call has its end");
        let sent = |tally: &Tally| (tally.unary, tally.opened, tally.written);
        assert_eq!(sent(&tallies[0]), sent(&tallies[1]), "seed {seed}");
    }
}

/// S5-63: the same on sockets, with several clients' worth of actions on one.
#[tokio::test]
async fn s5_63_calls_in_any_order_on_one_socket() {
    let transport = WebSocketServer::bind("127.0.0.1:0", WebSocketServerConfig::default()).await;
    let transport = transport.expect("a free port on loopback");
    let url = format!("ws://{}", transport.local_addr());
    let server = Server::new(transport, echo(), ServerConfig::default());
    let serving = server.clone();
    tokio::spawn(async move { serving.serve().await });
    let transport = WebSocketClient::new(&url, &WebSocketClientConfig::default());
    let client = Client::new(transport.expect("a valid url"));
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    let fuzzers = [1000, 1001, 1002].map(|seed| Fuzzer {
        seed,
        ..Fuzzer::default()
    });
    let [one, two, three] = &fuzzers;
    let done = tokio::join!(one.run(&client), two.run(&client), three.run(&client));
    for tally in [done.0, done.1, done.2] {
        tally.unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    ended(&server).await;
}

/// S5-61, S5-63: the same by both ends of one socket at once.
#[tokio::test]
async fn s5_61_s5_63_both_ends_of_a_socket_make_calls_in_any_order() {
    let (hand_on, mut connections) = tokio::sync::mpsc::unbounded_channel();
    let transport = WebSocketServer::bind("127.0.0.1:0", WebSocketServerConfig::default()).await;
    let transport = transport
        .expect("a free port on loopback")
        .with_connections(move |connection| drop(hand_on.send(connection)));
    let url = format!("ws://{}", transport.local_addr());
    let accepting = Server::new(transport, echo(), ServerConfig::default());
    let dialled = WebSocketClient::new(&url, &WebSocketClientConfig::default());
    let dialled = dialled.expect("a valid url");
    let dialling = Server::new(dialled.server(), echo(), ServerConfig::default());
    for server in [&accepting, &dialling] {
        let server = server.clone();
        tokio::spawn(async move { server.serve().await });
    }
    dialled.channel().wake();
    let there = Client::new(dialled);
    let running = there.clone();
    tokio::spawn(async move { running.connect().await });
    let connection = connections.recv().await.expect("it is accepted");
    let back = Client::new(connection.client());
    let running = back.clone();
    tokio::spawn(async move { running.connect().await });

    let fuzzers = [2000, 2001].map(|seed| Fuzzer {
        seed,
        ..Fuzzer::default()
    });
    let done = tokio::join!(fuzzers[0].run(&there), fuzzers[1].run(&back));
    for tally in [done.0, done.1] {
        tally.unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    ended(&accepting).await;
    ended(&dialling).await;
    assert!(connections.try_recv().is_err(), "it was one socket");
}

/// S5-63: a fault is found, and its seed finds it again.
#[tokio::test(start_paused = true)]
async fn s5_63_a_planted_fault_is_found_by_its_seed() {
    let fuzzer = Fuzzer {
        seed: 3,
        ..Fuzzer::default()
    };
    let mut found = Vec::new();
    for _ in 0..2 {
        let mut streamed = 0;
        let fault = move |mut packet: RpcPacket| {
            streamed += usize::from(packet.r#type() == PacketType::ServerStream);
            if streamed >= 20 {
                packet.payload = "another".into();
            }
            vec![packet]
        };
        let context = ClientServerContext::with_processors(echo(), fault, |packet| vec![packet]);
        let wrong = fuzzer.run(context.client()).await.expect_err("it is found");
        assert_eq!(wrong.seed, 3);
        found.push(wrong.to_string());
    }
    assert_eq!(
        found[0], found[1],
        "on a clock and a thread of its own, all is the same"
    );
    assert!(found[0].contains("is not the message"), "{}", found[0]);
}
