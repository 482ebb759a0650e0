//! An upstream against a scripted service, over the real driver and transports.

mod service;

use std::time::Duration;

use headwater_rpc::tls::{ClientTls, Pem};
use headwater_upstream::{
    Code, CommandError, Context, Failure, Handler, Message, Reply, RunError, Status, Upstream,
    UpstreamConfig, async_trait,
    v1::{self, ack::Answer, service_frame::Frame as Said, upstream_frame::Frame as Sent},
};
use service::{Call, Gate, IN_PROCESS, Service, in_time, message, urls};
use tokio::{sync::oneshot, task::JoinHandle};

#[derive(Default)]
struct Echo {
    gate: Gate,
}

#[async_trait]
impl Handler for Echo {
    async fn message(&self, context: &Context, message: Message) -> Result<Reply, Failure> {
        match message.name.as_str() {
            "wait" => drop(self.gate.lock().await),
            "tell" => drop(context.hub().send_to_all("told")),
            _ => {}
        }
        Ok(Reply::from(message.name))
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RunError>>,
}

fn run(upstream: Upstream) -> Running {
    let (stop, stopped) = oneshot::channel();
    let stop_future = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(upstream.run_until(stop_future));
    Running { stop, task }
}

fn reply(sent: &Sent) -> (u64, &str, u64) {
    let Sent::Ack(ack) = sent else {
        panic!("an ack, not {sent:?}");
    };
    let id = ack.id.as_ref().expect("of an event");
    assert!(matches!(ack.answer, Some(Answer::Reply(_))), "{ack:?}");
    (ack.seq, &id.connection_id, id.number)
}

fn settled(sent: &Sent) -> Vec<(u64, u64)> {
    let Sent::Settled(settled) = sent else {
        panic!("what is settled, not {sent:?}");
    };
    let ranges = settled.ranges.iter();
    ranges.map(|range| (range.from, range.to)).collect()
}

async fn events_are_answered(url: &str) {
    let mut service = Service::start(url).await;
    let upstream = service.upstream(Echo::default()).expect("configured");
    let hub = upstream.hub();
    assert_eq!(
        hub.send_to_all("early").await,
        Err(CommandError::NotRegistered)
    );
    let _running = run(upstream);
    let (mut call, register) = service.registered().await;
    let token = call
        .incoming
        .metadata
        .text("authorization")
        .expect("a token");
    assert!(token.starts_with("Bearer ey"), "{url}");
    assert_eq!((&*register.hub, &*register.app), ("chat", "app"));
    assert_eq!(register.resume, None);
    assert!(hub.registered().await);

    call.say_all((1..=64).map(|seq| message(seq, &seq.to_string(), 1, "tell")));
    for seq in 1..=64 {
        let Sent::Command(command) = call.next().await else {
            panic!("commands precede the answer of their handler");
        };
        assert_eq!(command.seq, seq * 2 - 1);
        let (answer, connection, _) = {
            let sent = call.next().await;
            let (seq, connection, number) = reply(&sent);
            (seq, connection.to_owned(), number)
        };
        assert_eq!((answer, connection), (seq * 2, seq.to_string()), "{url}");
    }
    assert_eq!(settled(&call.next().await), [(1, 64)], "{url}: told once");

    let told = hub.user_exists("ada");
    let Sent::Command(command) = call.next().await else {
        panic!("{url}: the command wakes the link");
    };
    call.say(Said::Result(v1::Result {
        seq: command.seq,
        status: None,
        value: Some(v1::result::Value::Answer(v1::Answer { yes: true })),
    }));
    assert_eq!(told.await, Ok(true), "{url}");
}

/// U-10: one URL chooses the transport, and the handler is the same.
#[tokio::test]
async fn u_10_s1_01_s1_16_events_are_answered_over_each_transport() {
    for url in urls() {
        in_time(&url, events_are_answered(&url)).await;
    }
}

/// U-10: a runtime that cannot open a socket, and a link on it.
#[test]
fn u_10_in_one_process_no_socket_is_opened() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let without_io = { runtime }.enable_time().build().expect("a runtime");
    without_io.block_on(events_are_answered(IN_PROCESS));
    let opened = without_io.block_on(async {
        let opened = tokio::spawn(async { tokio::net::TcpListener::bind("127.0.0.1:0").await });
        opened.await
    });
    assert!(opened.is_err(), "on that runtime, a socket is a panic");
}

async fn a_break_is_healed(url: &str) {
    let mut service = Service::start(url).await;
    let echo = Echo::default();
    let gate = echo.gate.clone();
    let closed = gate.lock().await;
    let upstream = service.upstream(echo).expect("configured");
    let hub = upstream.hub();
    let _running = run(upstream);
    let (mut call, _) = service.registered().await;
    call.say(message(1, "c", 1, "wait"));
    hub.registered().await;
    let command = hub.send_to_all("lost?");
    assert!(matches!(call.next().await, Sent::Command(_)));
    call.end(Err(Status::new(Code::Unavailable, "restarting")));
    assert_eq!(command.await, Err(CommandError::Unknown), "{url}");

    let (mut call, register) = service.registered().await;
    let resume = register.resume.expect("asks to go on");
    assert_eq!(
        (&*resume.registration, &*resume.token),
        ("r1", &b"token"[..])
    );
    call.say_all([message(1, "c", 2, "behind"), message(2, "d", 1, "beside")]);
    assert_eq!(
        reply(&call.next().await),
        (1, "d", 1),
        "{url}: numbers start afresh"
    );
    assert_eq!(settled(&call.next().await), [(2, 2)]);
    drop(closed);
    assert_eq!(
        reply(&call.next().await),
        (2, "c", 2),
        "{url}: behind the old handler"
    );
}

#[tokio::test]
async fn a_break_is_healed_over_each_transport() {
    for url in urls() {
        in_time(&url, a_break_is_healed(&url)).await;
    }
}

/// What is left of a call when the upstream has left it.
async fn rest(call: &mut Call) -> Vec<Sent> {
    let mut rest = Vec::new();
    while let Ok(Some(sent)) = call.next_or_end().await {
        rest.push(sent);
    }
    rest
}

async fn a_stop_is_graceful(url: &str) {
    let mut service = Service::start(url).await;
    let echo = Echo::default();
    let gate = echo.gate.clone();
    let closed = gate.lock().await;
    let running = run(service.upstream(echo).expect("configured"));
    let (mut call, _) = service.registered().await;
    call.say_all([message(1, "c", 1, "wait"), message(2, "d", 1, "go")]);
    assert_eq!(reply(&call.next().await), (1, "d", 1));
    assert_eq!(settled(&call.next().await), [(2, 2)]);
    running.stop.send(()).expect("runs");
    assert!(matches!(call.next().await, Sent::Drain(_)), "{url}");
    drop(closed);
    assert_eq!(reply(&call.next().await), (2, "c", 1), "{url}: not lost");
    assert_eq!(settled(&call.next().await), [(1, 1)]);
    call.end(Ok(()));
    assert_eq!(running.task.await.expect("no panic"), Ok(()), "{url}");
}

#[tokio::test]
async fn s1_28_a_stop_is_graceful_over_each_transport() {
    for url in urls() {
        in_time(&url, a_stop_is_graceful(&url)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s1_02_the_link_stays_open_while_nothing_happens() {
    let mut service = Service::start(IN_PROCESS).await;
    let _running = run(service.upstream(Echo::default()).expect("configured"));
    let (mut call, _) = service.registered().await;
    call.say(message(1, "c", 1, "before"));
    assert_eq!(reply(&call.next().await), (1, "c", 1));
    assert_eq!(settled(&call.next().await), [(1, 1)]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    call.say(message(2, "c", 2, "after"));
    assert_eq!(reply(&call.next().await), (2, "c", 2), "on the same call");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_end_a_drained_call_is_half_closed_and_then_left() {
    let mut service = Service::start(IN_PROCESS).await;
    let running = run(service.upstream(Echo::default()).expect("configured"));
    let (mut call, _) = service.registered().await;
    call.say(message(1, "c", 1, "go"));
    call.next().await;
    call.next().await;
    running.stop.send(()).expect("runs");
    let rest = rest(&mut call).await;
    assert!(matches!(rest[..], [Sent::Drain(_)]), "{rest:?}");
    assert_eq!(running.task.await.expect("no panic"), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_handler_for_ever() {
    let mut service = Service::start(IN_PROCESS).await;
    let echo = Echo::default();
    let gate = echo.gate.clone();
    let _closed = gate.lock().await;
    let running = run(service.upstream(echo).expect("configured"));
    let (mut call, _) = service.registered().await;
    call.say_all([message(1, "c", 1, "wait"), message(2, "d", 1, "go")]);
    call.next().await;
    running.stop.send(()).expect("runs");
    rest(&mut call).await;
    assert_eq!(running.task.await.expect("no panic"), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_longest_bounds_are_none() {
    let mut service = Service::start(IN_PROCESS).await;
    let config = service.config();
    config.register_timeout = Duration::MAX;
    config.drain_timeout = Duration::MAX;
    let echo = Echo::default();
    let gate = echo.gate.clone();
    let closed = gate.lock().await;
    let running = run(service.upstream(echo).expect("configured"));
    let (mut call, _) = service.registered().await;
    call.say(message(1, "c", 1, "wait"));
    running.stop.send(()).expect("runs");
    assert!(matches!(call.next().await, Sent::Drain(_)));
    tokio::time::sleep(Duration::from_secs(30 * 60)).await;
    drop(closed);
    assert_eq!(reply(&call.next().await), (1, "c", 1), "half an hour later");
    call.end(Ok(()));
    assert_eq!(running.task.await.expect("no panic"), Ok(()));
}

/// S1-23, and the guarantee that an event is not handled once its client was told that it failed.
#[tokio::test(start_paused = true)]
async fn s1_23_a_handler_does_not_get_what_its_client_was_told_has_failed() {
    let mut service = Service::start(IN_PROCESS).await;
    let echo = Echo::default();
    let gate = echo.gate.clone();
    let closed = gate.lock().await;
    let _running = run(service.upstream(echo).expect("configured"));
    let (mut call, _) = service.registered().await;
    call.say_all([
        within(message(1, "c", 1, "wait"), 30_000),
        within(message(2, "c", 2, "given up"), 10_000),
        within(message(3, "c", 3, "in time"), 30_000),
    ]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    drop(closed);
    assert_eq!(reply(&call.next().await), (1, "c", 1));
    assert_eq!(settled(&call.next().await), [(1, 2)], "both are over");
    assert_eq!(reply(&call.next().await), (2, "c", 3));
}

/// An event whose client waits for so long.
fn within(said: Said, millis: u32) -> Said {
    let Said::Event(mut event) = said else {
        panic!("an event, not {said:?}");
    };
    event.time_left_ms = millis;
    Said::Event(event)
}

#[tokio::test]
async fn s1_03_a_refused_registration_ends_the_run_and_is_not_tried_again() {
    let mut service = Service::start(IN_PROCESS).await;
    let running = run(service.upstream(Echo::default()).expect("configured"));
    let refused = Status::new(Code::Unauthenticated, "no such key");
    service.call().await.end(Err(refused.clone()));
    assert_eq!(
        running.task.await.expect("no panic"),
        Err(RunError::Refused(refused))
    );
}

#[tokio::test(start_paused = true)]
async fn once_registered_a_refusal_is_tried_again() {
    let mut service = Service::start(IN_PROCESS).await;
    let running = run(service.upstream(Echo::default()).expect("configured"));
    let (call, _) = service.registered().await;
    // Only an answer shows that the registration has arrived.
    let mut call = call;
    call.say(message(1, "c", 1, "go"));
    call.next().await;
    call.end(Err(Status::new(Code::Unavailable, "restarting")));
    let refused = Status::new(Code::Unauthenticated, "the key is being changed");
    service.call().await.end(Err(refused));
    service.registered().await;
    assert!(!running.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_says_nothing_or_nonsense_is_left_and_dialled_again() {
    let mut service = Service::start(IN_PROCESS).await;
    let _running = run(service.upstream(Echo::default()).expect("configured"));
    let mut silent = service.call().await;
    assert!(matches!(silent.next().await, Sent::Register(_)));
    assert!(silent.next_or_end().await.is_err(), "cancelled");

    let (mut call, _) = service.registered().await;
    call.incoming
        .sender
        .try_send("\u{ff}".into())
        .expect("room");
    assert!(call.next_or_end().await.is_err(), "cancelled");
    service.registered().await;
}

#[tokio::test(start_paused = true)]
async fn s1_30_a_fresh_token_is_presented_before_the_old_one_expires() {
    let mut service = Service::start(IN_PROCESS).await;
    let _running = run(service.upstream(Echo::default()).expect("configured"));
    let (mut call, _) = service.registered().await;
    let first = tokio::time::Instant::now();
    for presented in 1..=2 {
        let Sent::Authenticate(authenticate) = call.next().await else {
            panic!("a token");
        };
        assert!(authenticate.token.starts_with("ey"));
        let virtual_minutes = first.elapsed().as_secs() / 60;
        assert_eq!(virtual_minutes, 48 * presented, "four fifths of an hour");
    }
}

#[tokio::test]
async fn s1_28_a_service_that_leaves_is_left_in_peace_and_dialled_again() {
    let mut service = Service::start(IN_PROCESS).await;
    let _running = run(service.upstream(Echo::default()).expect("configured"));
    let (mut call, _) = service.registered().await;
    call.say_all([
        message(1, "c", 1, "go"),
        Said::Drain(v1::Drain {
            reconnect_within_ms: 1000,
        }),
    ]);
    let sent = [call.next().await, call.next().await, call.next().await];
    let [first, ..] = &sent;
    assert_eq!(
        reply(first),
        (1, "c", 1),
        "what came before is answered: {sent:?}"
    );
    assert!(
        sent.iter().any(|sent| matches!(sent, Sent::Drain(_))),
        "{sent:?}"
    );
    call.end(Ok(()));
    let (mut call, _) = service.registered().await;
    call.say(message(1, "c", 2, "again"));
    assert_eq!(
        reply(&call.next().await),
        (1, "c", 2),
        "the new registration is not drained"
    );
}

#[tokio::test(start_paused = true)]
async fn s1_27_neither_side_stops_reading_when_the_other_does() {
    let mut service = Service::start(IN_PROCESS).await;
    let upstream = service.upstream(Echo::default()).expect("configured");
    let hub = upstream.hub();
    let _running = run(upstream);
    let (mut call, _) = service.registered().await;
    hub.registered().await;
    // Far more than the call's window of 256 KiB; the service reads none of it.
    let payload = "x".repeat(64 << 10);
    let commands: Vec<_> = (0..100).map(|_| hub.send_to_all(payload.clone())).collect();
    call.say(Said::Drain(v1::Drain::default()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut seen = 0;
    while seen < 100 {
        if let Sent::Command(command) = call.next().await {
            seen += 1;
            assert_eq!(command.seq, seen, "in order, none lost");
            let seq = command.seq;
            let value = v1::result::Value::Delivered(v1::Delivered { connections: 3 });
            call.say(Said::Result(v1::Result {
                seq,
                status: None,
                value: Some(value),
            }));
        }
    }
    for command in commands {
        assert_eq!(command.await, Ok(3));
    }
}

#[test]
fn the_debug_output_holds_no_secret() {
    struct Nothing;
    impl Handler for Nothing {}
    let config = UpstreamConfig {
        hub: "chat".into(),
        connection_string: service::KEY.parse().ok(),
        ..UpstreamConfig::default()
    };
    assert!(config.connection_string.is_some());
    let upstream = Upstream::new(config, Nothing).expect("configured");
    assert!(!format!("{upstream:?}").contains("hush"));
}

/// Before anything runs, and with the feature that is missing if one is.
#[test]
fn a_url_that_leads_nowhere_is_refused() {
    let refused = |config: UpstreamConfig| {
        let config = UpstreamConfig {
            hub: "chat".into(),
            ..config
        };
        let error = Upstream::new(config, Echo::default()).expect_err("it leads nowhere");
        error.to_string()
    };
    for (url, why) in [
        ("ftp://host", "no transport for ftp://"),
        ("127.0.0.1:8081", "scheme"),
        ("http://ada:hush@host", "no user"),
        ("http://host/path", "nothing comes after the port"),
    ] {
        let told = refused(UpstreamConfig {
            url: url.into(),
            ..UpstreamConfig::default()
        });
        assert!(told.contains(why), "{url}: {told}");
        assert!(!told.contains("hush"), "a password was shown: {told}");
    }
    let told = refused(UpstreamConfig {
        url: "https://127.0.0.1:8081".into(),
        tls: ClientTls {
            roots: Some(Pem::File("/nowhere/at/all".into())),
            ..ClientTls::default()
        },
        ..UpstreamConfig::default()
    });
    assert!(
        told.contains("/nowhere/at/all"),
        "it names the file: {told}"
    );
}
