//! Handlers against the stand-in for the service.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use headwater_upstream::{
    Accept, AnswerError, Code, CommandError, Connect, Context, Failure, Handler, Message, Reject,
    Reply, Status, async_trait,
    testing::{Sent, TestUpstream},
    v1::{self, command::Operation},
};

/// Does what the name of the event says.
#[derive(Default)]
struct Obedient {
    running: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Obedient {
    fn log(&self, line: impl Into<String>) {
        self.log
            .lock()
            .expect("nobody panics with it")
            .push(line.into());
    }
}

#[async_trait]
impl Handler for Obedient {
    async fn connect(&self, _: &Context, connect: Connect) -> Result<Accept, Reject> {
        self.log("connect");
        if connect.query_value("refuse").is_some() {
            return Err(Reject::unauthenticated("go away"));
        }
        if connect.query_value("panic").is_some() {
            panic!("as told");
        }
        Ok(Accept {
            user_id: connect.query_value("user").map(Into::into),
            state: Some("0".into()),
            ..Accept::default()
        })
    }

    async fn connected(&self, _: &Context) {
        self.log("connected");
    }

    async fn message(&self, context: &Context, message: Message) -> Result<Reply, Failure> {
        let hub = context.hub();
        match message.name.as_str() {
            "echo" => Ok(message.payload.into()),
            "say" => {
                context.reply("said").expect("not answered yet");
                hub.send_to_group("lobby", message.payload);
                hub.send_to_all("and all");
                assert_eq!(context.reply("again"), Err(AnswerError::Answered));
                Ok(Reply::from("never sent"))
            }
            "tell" => {
                hub.send_to_group("lobby", message.payload);
                Ok(Reply::from("told"))
            }
            "count" => {
                let so_far = core::str::from_utf8(context.state()).unwrap_or("");
                let count = so_far.parse::<u32>().unwrap_or(0) + 1;
                Ok(Reply::from(count.to_string()).with_state(count.to_string()))
            }
            "ask" => match hub.connection_exists("other").await {
                Ok(yes) => Ok(Reply::from(yes.to_string())),
                Err(error) => Ok(Reply::from(format!("{error:?}"))),
            },
            "slow" => {
                self.running.fetch_add(1, Ordering::SeqCst);
                context.cancelled().await;
                self.running.fetch_sub(1, Ordering::SeqCst);
                Ok(Reply::from("cancelled"))
            }
            "panic" => panic!("as told"),
            _ => Err(Failure::new(Code::NotFound, "no such event")),
        }
    }

    async fn disconnected(&self, context: &Context, reason: &str) {
        self.log(format!("disconnected {} {reason}", context.connection_id()));
    }
}

fn app() -> TestUpstream {
    TestUpstream::start(Obedient::default())
}

fn query(name: &str, value: &str) -> Connect {
    Connect {
        query: [(name.into(), vec![value.into()])].into(),
        ..Connect::default()
    }
}

#[tokio::test]
async fn s1_18_a_connect_sets_the_user_and_the_state_of_the_connection() {
    let mut app = app();
    let accept = app
        .connect("c", query("user", "ada"))
        .await
        .expect("let in");
    assert_eq!(accept.user_id.as_deref(), Some("ada"));
    assert_eq!(
        app.message("c", "count", "").await,
        Ok(Reply::from("1").with_state("1"))
    );
    assert_eq!(
        app.message("c", "count", "").await,
        Ok(Reply::from("2").with_state("2"))
    );
    assert_eq!(
        app.message("d", "count", "").await,
        Ok(Reply::from("1").with_state("1")),
        "another connection has its own state"
    );
}

#[tokio::test]
async fn s1_06_a_connect_can_be_refused() {
    let rejected = app().connect("c", query("refuse", "1")).await;
    let reject = rejected.expect_err("refused");
    assert_eq!(reject.0, Status::new(Code::Unauthenticated, "go away"));
}

#[tokio::test]
async fn s1_10_the_handlers_of_a_connection_run_in_order() {
    let handler = Obedient::default();
    let log = Arc::clone(&handler.log);
    let mut app = TestUpstream::start(handler);
    app.connect("c", Connect::default()).await.expect("let in");
    app.connected("c").await;
    app.disconnected("c", "bye").await;
    assert_eq!(
        *log.lock().unwrap(),
        ["connect", "connected", "disconnected c bye"]
    );
}

fn to_lobby(text: &'static str) -> Sent {
    let payload = v1::Payload {
        r#type: v1::DataType::Text.into(),
        data: text.into(),
    };
    Sent::Command(Operation::SendToGroup(v1::SendToGroupRequest {
        group: "lobby".into(),
        payload: Some(payload),
        ..v1::SendToGroupRequest::default()
    }))
}

#[tokio::test]
async fn s1_29_an_early_answer_precedes_the_commands_behind_it() {
    let mut app = app();
    let reply = app.message("c", "say", "hi").await;
    assert_eq!(
        reply,
        Ok(Reply::from("said")),
        "what is returned later has no effect"
    );
    let sent = app.sent();
    assert_eq!(
        sent[..2],
        [Sent::Reply(Reply::from("said")), to_lobby("hi")]
    );
    assert!(
        matches!(sent[2..], [Sent::Command(Operation::SendToAll(_))]),
        "{sent:?}"
    );
}

#[tokio::test]
async fn commands_before_the_return_precede_the_answer() {
    let mut app = app();
    app.message("c", "tell", "hi").await.expect("handled");
    assert_eq!(
        app.sent(),
        [to_lobby("hi"), Sent::Reply(Reply::from("told"))]
    );
}

#[tokio::test]
async fn s1_22_a_command_can_be_awaited_inside_a_handler() {
    let mut app = app();
    assert_eq!(app.message("c", "ask", "").await, Ok(Reply::from("false")));
    app.respond_with(|_| Err(Status::new(Code::NotFound, "gone")));
    let failed = CommandError::Failed(Status::new(Code::NotFound, "gone"));
    assert_eq!(
        app.message("c", "ask", "").await,
        Ok(Reply::from(format!("{failed:?}")))
    );
    app.respond_with(|_| Ok(None));
    assert_eq!(
        app.message("c", "ask", "").await,
        Ok(Reply::from(format!("{:?}", CommandError::Unfit)))
    );
}

#[tokio::test]
async fn s1_32_a_handler_hears_at_once_that_its_client_has_gone_and_others_run_meanwhile() {
    let handler = Obedient::default();
    let running = Arc::clone(&handler.running);
    let mut app = TestUpstream::start(handler);
    let slow = app.send_message("c", Message::new("slow", ""));
    let behind = app.send_message("c", Message::new("echo", "behind"));
    assert_eq!(
        app.message("d", "echo", "beside").await,
        Ok(Reply::from("beside")),
        "another connection does not wait"
    );
    assert_eq!(running.load(Ordering::SeqCst), 1);
    assert_eq!(
        app.sent(),
        [Sent::Reply(Reply::from("beside"))],
        "its own connection does"
    );
    app.cancel(slow);
    app.settle().await;
    assert_eq!(running.load(Ordering::SeqCst), 0);
    assert_eq!(app.answer(slow).await, Ok(Reply::from("cancelled")));
    assert_eq!(app.answer(behind).await, Ok(Reply::from("behind")));
}

#[tokio::test]
async fn s1_35_a_panic_fails_its_own_event_and_nothing_else() {
    let mut app = app();
    let failure = app.message("c", "panic", "").await.expect_err("panicked");
    assert_eq!(failure.0.code, Code::Internal);
    assert!(
        !failure.0.message.contains("as told"),
        "nothing of the inside is told"
    );
    let reject = app.connect("d", query("panic", "1")).await;
    assert_eq!(reject.expect_err("panicked").0.code, Code::Internal);
    assert_eq!(app.message("c", "echo", "on").await, Ok(Reply::from("on")));
}

#[tokio::test]
async fn s1_35_a_failure_is_told_with_its_status() {
    let failure = app().message("c", "nonsense", "").await;
    assert_eq!(failure, Err(Failure::new(Code::NotFound, "no such event")));
}

#[tokio::test]
async fn a_handler_without_code_lets_in_and_says_that_it_has_none() {
    struct Nothing;
    impl Handler for Nothing {}
    let mut app = TestUpstream::start(Nothing);
    assert_eq!(
        app.connect("c", Connect::default()).await,
        Ok(Accept::default())
    );
    app.connected("c").await;
    let failure = app.message("c", "m", "").await.expect_err("no code");
    assert_eq!(failure.0.code, Code::Unimplemented);
    app.disconnected("c", "bye").await;
}

#[tokio::test]
async fn u_04_commands_from_outside_of_a_handler_go_the_same_way() {
    let mut app = app();
    let command = app.hub().send_to_group("lobby", "hi");
    app.settle().await;
    assert_eq!(command.await, Ok(1));
    assert_eq!(app.sent(), [to_lobby("hi")]);
    let hub = app.hub().clone();
    let late = hub.group_exists("lobby");
    drop(app);
    assert_eq!(late.await, Err(CommandError::NotRegistered), "never sent");
    assert_eq!(
        hub.group_exists("lobby").await,
        Err(CommandError::NotRegistered)
    );
}
