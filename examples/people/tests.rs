use std::future::Future;

use clap::CommandFactory as _;
use headwater_rpc::{Client, Code, Server, ServerConfig, Status};
use headwater_websocket::{
    WebSocketServer,
    zrpc::{BlobCodec, Proxy, ZrpcClient, ZrpcClientConfig},
};
use prost::Message as _;
use tokio::time::Instant;

use crate::{
    Arguments, PeopleClient, Person, router, sockets,
    store::{MORE, PAUSE, Store},
};

fn ann() -> Person {
    Person {
        name: "ann".to_owned(),
        email: "ann@example.com".to_owned(),
        ..Person::default()
    }
}

fn store() -> Store {
    Store::open(None).expect("there is memory")
}

/// Runs calls beside a client and a server of this process.
async fn in_process(calls: impl AsyncFnOnce(&Client)) {
    let (client, server) = headwater_in_process::pair();
    let client = Client::new(client);
    let server = Server::new(server, router(store()), ServerConfig::default());
    beside(calls(&client), &client, &server).await;
}

async fn beside(calls: impl Future<Output = ()>, client: &Client, server: &Server) {
    tokio::select! {
        () = calls => {}
        stopped = client.connect() => panic!("the client stopped: {stopped:?}"),
        stopped = server.serve() => panic!("the server stopped: {stopped:?}"),
    }
}

/// Who comes back, and what the database said of them.
async fn came(mut people: headwater_rpc::stub::Messages<Person>) -> Vec<(i32, String, String)> {
    let mut came = Vec::new();
    while let Some(person) = people.message().await.expect("the call goes well") {
        assert_eq!(person.label, "person");
        came.push((person.id, person.name, person.email));
    }
    came
}

fn expected() -> Vec<(i32, String, String)> {
    let [dave, leif] = MORE;
    let all = [
        ("ann", "ann@example.com"),
        (dave[0], dave[1]),
        (leif[0], leif[1]),
    ];
    let all = all.into_iter().zip(1..);
    all.map(|((name, email), id)| (id, name.to_owned(), email.to_owned()))
        .collect()
}

/// Whoever was kept comes back, and two more, each two seconds later by the virtual clock; and they are found again.
#[tokio::test(start_paused = true)]
async fn a_person_is_kept_and_several_are_streamed_back() {
    in_process(async |client| {
        let people = PeopleClient::new(client.clone());
        let start = Instant::now();
        let kept = people.create_person(ann()).await.expect("it starts");
        assert_eq!(came(kept).await, expected());
        assert_eq!(start.elapsed(), PAUSE * 2);
        let all = people
            .find_person(Person::default())
            .await
            .expect("it starts");
        assert_eq!(came(all).await, expected());
        let dave = Person {
            name: MORE[0][0].to_owned(),
            ..Person::default()
        };
        let dave = people.find_person(dave).await.expect("it starts");
        assert_eq!(came(dave).await, expected()[1..2]);
    })
    .await;
}

/// The database is a file like any other: who was kept is there after a restart.
#[tokio::test(start_paused = true)]
async fn people_survive_a_restart() {
    let folder = std::env::temp_dir().join(format!("headwater-people-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("there is a place");
    let path = folder.join("people.db");
    for round in 1..=2 {
        let store = Store::open(Some(&path)).expect("the file can be opened");
        let (client, server) = headwater_in_process::pair();
        let client = Client::new(client);
        let server = Server::new(server, router(store), ServerConfig::default());
        let calls = async {
            let people = PeopleClient::new(client.clone());
            let kept = people.create_person(ann()).await.expect("it starts");
            assert_eq!(came(kept).await.len(), 3);
            let all = people
                .find_person(Person::default())
                .await
                .expect("it starts");
            assert_eq!(came(all).await.len(), 3 * round, "round {round}");
        };
        beside(calls, &client, &server).await;
    }
    std::fs::remove_dir_all(folder).expect("it is ours");
}

#[tokio::test]
async fn nobody_without_a_name_is_kept() {
    in_process(async |client| {
        let people = PeopleClient::new(client.clone());
        let mut kept = people
            .create_person(Person::default())
            .await
            .expect("it starts");
        let refused = kept.message().await.map_err(|status| status.code);
        assert_eq!(refused, Err(Code::InvalidArgument));
    })
    .await;
}

/// JSON on this side, and a `Person` on the wire.
struct PersonInJson;

impl BlobCodec for PersonInJson {
    fn encode(&self, request: bytes::Bytes) -> Result<bytes::Bytes, Status> {
        let invalid = |error| Status::new(Code::InvalidArgument, format!("{error}"));
        let json: serde_json::Value = serde_json::from_slice(&request).map_err(invalid)?;
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let person = Person {
            name: text("name"),
            email: text("email"),
            ..Person::default()
        };
        Ok(person.encode_to_vec().into())
    }

    fn decode(&self, reply: bytes::Bytes) -> Result<bytes::Bytes, Status> {
        let invalid = |error| Status::new(Code::Internal, format!("{error}"));
        let person = Person::decode(reply).map_err(invalid)?;
        let json = serde_json::json!({ "id": person.id, "name": person.name });
        Ok(json.to_string().into())
    }
}

/// S2-26: the registry is typed, made from the `.proto`: generated code serves and calls over zrpc, and a client by names
/// finds the same methods, by the name of the service or without it. S2-11: with a codec for the noun.
#[tokio::test]
async fn s2_26_generated_code_and_names_reach_the_same_methods_over_zrpc() {
    let bound = WebSocketServer::bind("127.0.0.1:0", sockets()).await;
    let transport = bound.expect("the loopback has a free port");
    let url = format!("ws://{}/", transport.local_addr());
    let server = Server::new(transport, router(store()), ServerConfig::default());
    let transport = ZrpcClient::new(&url, &ZrpcClientConfig::default());
    let client = Client::new(transport.expect("the URL is valid"));
    let calls = async {
        let people = PeopleClient::new(client.clone());
        let mut kept = people.create_person(ann()).await.expect("it starts");
        let first = kept.message().await.expect("the call goes well");
        assert_eq!(
            first.map(|person| (person.id, person.name)),
            Some((1, "ann".to_owned()))
        );
        // The others would take their time.
        drop(kept);
        let proxy = Proxy::new(client.clone()).with_codec("person", PersonInJson);
        for name in ["find_person", "people.find_person"] {
            let found = proxy
                .call(name, r#"{"name":"ann"}"#)
                .await
                .expect("it starts");
            let found = found.all().await;
            assert_eq!(found, Ok(vec![r#"{"id":1,"name":"ann"}"#.into()]), "{name}");
        }
    };
    beside(calls, &client, &server).await;
}

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}
