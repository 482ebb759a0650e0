//! An upstream whose link is mapped onto plain calls, against a scripted service.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use headwater_proto::wps_rpc::{
    self, StreamingRequest,
    streaming_request::Request::{self, MessageRequest},
};
use headwater_rpc::{IncomingCall, Metadata, Router, Server, ServerConfig};
use headwater_transports::{ServerOptions, UrlServer};
use headwater_upstream::{
    Code, Context, Failure, Handler, Hub, Mapping, Message, Reply, RunError, Status, Upstream,
    UpstreamConfig, async_trait,
};
use prost::Message as _;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

/// Answers at once, and goes on until it may end.
struct Echo {
    ends: Arc<Semaphore>,
    running: Arc<AtomicUsize>,
}

#[async_trait]
impl Handler for Echo {
    async fn message(&self, context: &Context, message: Message) -> Result<Reply, Failure> {
        self.running.fetch_add(1, Ordering::SeqCst);
        match message.name.as_str() {
            "early" => {
                let answered = context.reply(Reply::from("early"));
                answered.expect("it is the first answer");
                let permit = self.ends.acquire().await;
                permit.expect("never closed").forget();
            }
            "late" => {
                let permit = self.ends.acquire().await;
                permit.expect("never closed").forget();
            }
            "command" => {
                let exists = context.hub().connection_exists("c").await;
                return Ok(Reply::from(format!("{exists:?}")));
            }
            _ => {}
        }
        Ok(Reply::from(message.name))
    }
}

struct Service {
    calls: mpsc::UnboundedReceiver<IncomingCall>,
    config: UpstreamConfig,
}

impl Service {
    async fn start() -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let router = Router::new();
        router.fallback(move |call| {
            // The test may be over.
            let _ = sender.send(call);
            async {}
        });
        let options = ServerOptions::default();
        let transport = UrlServer::bind("inproc://service", &options).await;
        let transport = transport.expect("the name is free");
        let config = UpstreamConfig {
            url: transport.url().to_owned(),
            in_process: options.in_process,
            hub: "chat".into(),
            mapping: Mapping::Calls,
            window_events: 2,
            connection_string: "Endpoint=http://h:1;AccessKey=k".parse().ok(),
            seed: Some(1),
            ..UpstreamConfig::default()
        };
        let server = Server::new(transport, router, ServerConfig::default());
        tokio::spawn(async move { server.serve().await });
        Self { calls, config }
    }

    fn upstream(&self) -> Running {
        let (ends, running) = (Arc::new(Semaphore::new(0)), Arc::default());
        let handler = Echo {
            ends: Arc::clone(&ends),
            running: Arc::clone(&running),
        };
        let upstream = Upstream::new(self.config.clone(), handler).expect("configured");
        let hub = upstream.hub();
        let (stop, stopped) = oneshot::channel();
        let stop_future = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(upstream.run_until(stop_future));
        Running {
            ends,
            running,
            hub,
            stop,
            task,
        }
    }

    /// The next call, which is for this method, and its request.
    async fn call<M: prost::Message + Default>(&mut self, path: &str) -> (IncomingCall, M) {
        let next = tokio::time::timeout(Duration::from_secs(30), self.calls.recv());
        let mut call = next
            .await
            .unwrap_or_else(|_| panic!("no call of {path} came"))
            .expect("the server runs");
        assert_eq!(&*call.path, path);
        let token = call.metadata.text("authorization").unwrap_or_default();
        assert!(token.starts_with("Bearer ey"), "{path} without credential");
        let mut messages = Vec::new();
        while call.receiver.next_batch(&mut messages).await.expect("open") > 0 {}
        let [message] = &messages[..] else {
            panic!("{path}: {} requests", messages.len())
        };
        let message = M::decode(message.clone()).expect("decodable");
        (call, message)
    }

    /// Takes the registration.
    async fn registered(&mut self) -> (IncomingCall, wps_rpc::RegisterMessage) {
        let (call, register) = self.call("/WpsRpc/register").await;
        let headers = call.sender.send_headers(Metadata::new());
        headers.expect("they are the first");
        (call, register)
    }

    /// Takes the answer to a message.
    async fn acked(&mut self) -> wps_rpc::AckMessageRequest {
        let (call, ack) = self.call("/WpsRpc/ackMessage").await;
        answer(&call, Ok(Bytes::new()));
        ack
    }
}

struct Running {
    ends: Arc<Semaphore>,
    running: Arc<AtomicUsize>,
    hub: Hub,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RunError>>,
}

fn answer(call: &IncomingCall, outcome: Result<Bytes, Status>) {
    let outcome = outcome.map(|response| call.sender.try_send(response).expect("room"));
    // Its client may have gone.
    let _ = call.sender.finish(outcome, Metadata::new());
}

fn say(call: &IncomingCall, connection: &str, name: &str) {
    let request = wps_rpc::MessageRequest {
        connection_id: connection.into(),
        name: name.into(),
        context: Some(wps_rpc::EventContext {
            event_id: 7,
            ..wps_rpc::EventContext::default()
        }),
        ..wps_rpc::MessageRequest::default()
    };
    send(call, MessageRequest(request));
}

fn send(call: &IncomingCall, request: Request) {
    let request = Some(request);
    let bytes = StreamingRequest { request }.encode_to_vec();
    call.sender.try_send(bytes.into()).expect("room");
}

fn text(ack: &wps_rpc::AckMessageRequest) -> &str {
    use wps_rpc::message::Data;
    let message = ack.ack_event_message.as_ref();
    let data = message.and_then(|ack| ack.message.as_ref()?.data.as_ref());
    match data {
        Some(Data::TextData(text)) => text,
        other => panic!("a text, not {other:?}"),
    }
}

/// S1-20, with U-11: the same handler, and answers that name their event.
#[tokio::test]
async fn s1_20_u_11_each_answer_is_a_call_that_names_its_event() {
    let mut service = Service::start().await;
    let _upstream = service.upstream();
    let (events, register) = service.registered().await;
    assert_eq!((&*register.hub, register.window_events), ("chat", 2));
    say(&events, "a", "x");
    say(&events, "b", "y");
    for (connection, name) in [("a", "x"), ("b", "y")] {
        let ack = service.acked().await;
        assert_eq!((&*ack.connection_id, ack.event_id), (connection, 7));
        assert_eq!((&*ack.hub, text(&ack)), ("chat", name));
    }
}

#[tokio::test]
async fn a_command_is_a_call_and_its_status_the_result() {
    let mut service = Service::start().await;
    let _upstream = service.upstream();
    let (events, _) = service.registered().await;
    say(&events, "a", "command");
    let (call, request) = service
        .call::<wps_rpc::ConnectionExistsRequest>("/WpsRpc/connectionExists")
        .await;
    assert_eq!(request.connection_id, "c");
    let yes = wps_rpc::Answer { yes: true }.encode_to_vec();
    answer(&call, Ok(yes.into()));
    assert_eq!(text(&service.acked().await), "Ok(true)");

    say(&events, "a", "command");
    let (call, _) = service
        .call::<wps_rpc::ConnectionExistsRequest>("/WpsRpc/connectionExists")
        .await;
    answer(&call, Err(Status::new(Code::NotFound, "gone")));
    let ack = service.acked().await;
    assert!(text(&ack).contains("Failed"), "{}", text(&ack));
}

#[tokio::test]
async fn a_command_from_outside_of_the_handlers_needs_no_event_to_go() {
    let mut service = Service::start().await;
    let upstream = service.upstream();
    let (_events, _) = service.registered().await;
    assert!(upstream.hub.registered().await);
    let exists = tokio::spawn(upstream.hub.user_exists("ada"));
    let (call, _) = service
        .call::<wps_rpc::UserExistsRequest>("/WpsRpc/userExists")
        .await;
    let no = wps_rpc::Answer { yes: false }.encode_to_vec();
    answer(&call, Ok(no.into()));
    assert_eq!(exists.await.expect("no panic"), Ok(false));
}

#[tokio::test]
async fn what_the_handlers_hold_is_bounded_by_the_window() {
    let mut service = Service::start().await;
    let upstream = service.upstream();
    let (events, _) = service.registered().await;
    // Answered early, so that the service counts them as done.
    for connection in ["a", "b", "c", "d"] {
        say(&events, connection, "early");
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        service.acked().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let running = upstream.running.load(Ordering::SeqCst);
    assert_eq!(running, 2, "the window is 2");
    upstream.ends.add_permits(4);
    for _ in 0..2 {
        service.acked().await;
    }
    assert_eq!(upstream.running.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_handlers_and_their_answers() {
    let mut service = Service::start().await;
    let upstream = service.upstream();
    let (events, _) = service.registered().await;
    say(&events, "a", "late");
    while upstream.running.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    upstream.stop.send(()).expect("it runs");
    tokio::task::yield_now().await;
    // No handler of this starts any more.
    say(&events, "b", "x");
    upstream.ends.add_permits(1);
    let ack = service.acked().await;
    assert_eq!(ack.connection_id, "a");
    events.cancellation.cancelled().await;
    assert_eq!(upstream.task.await.expect("no panic"), Ok(()));
    assert_eq!(upstream.running.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_break_is_healed_by_another_registration() {
    let mut service = Service::start().await;
    let _upstream = service.upstream();
    let (events, _) = service.registered().await;
    let lost = Status::new(Code::Unavailable, "the service leaves");
    let _ = events.sender.finish(Err(lost), Metadata::new());
    let (events, _) = service.registered().await;
    say(&events, "a", "x");
    assert_eq!(text(&service.acked().await), "x");
}

/// S1-03.
#[tokio::test]
async fn s1_03_a_refused_registration_ends_the_run() {
    let mut service = Service::start().await;
    let upstream = service.upstream();
    let (call, _) = service
        .call::<wps_rpc::RegisterMessage>("/WpsRpc/register")
        .await;
    let refused = Status::new(Code::PermissionDenied, "another hub");
    answer(&call, Err(refused.clone()));
    let ended = upstream.task.await.expect("no panic");
    assert_eq!(ended, Err(RunError::Refused(refused)));
}

/// S1-19: a later version of the service says what this one does not know.
#[tokio::test]
async fn s1_19_an_unknown_kind_of_event_is_passed_over_and_nonsense_ends_the_call() {
    let mut service = Service::start().await;
    let _upstream = service.upstream();
    let (events, _) = service.registered().await;
    let unknown = Bytes::from_static(b"\x4a\x00");
    events.sender.try_send(unknown).expect("room");
    say(&events, "a", "x");
    assert_eq!(text(&service.acked().await), "x");
    let nonsense = Bytes::from_static(b"\xff");
    events.sender.try_send(nonsense).expect("room");
    events.cancellation.cancelled().await;
    service.registered().await;
}
