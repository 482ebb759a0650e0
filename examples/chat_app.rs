//! The chat application, which `chat` runs inside the service's process and `chat-upstream` in its own.

use std::time::Duration;

use headwater_upstream::{
    Accept, Code, Connect, Context, Failure, Handler, Message, Payload, Reject, Reply, async_trait,
};
use serde_json::json;

/// The hub that it serves.
pub const HUB: &str = "chat";

/// The group of those who said at connecting that they want to hear all.
const LOBBY: &str = "lobby";

/// A chat: `say` tells everybody in the lobby. The other events show one thing each.
pub struct Chat;

#[async_trait]
impl Handler for Chat {
    async fn connect(&self, context: &Context, connect: Connect) -> Result<Accept, Reject> {
        let named = connect.query_value("user").filter(|user| !user.is_empty());
        let user = context.user_id().or(named);
        if connect.query_value("refuse") == Some("1") || user == Some("banned") {
            return Err(Reject::unauthenticated("you may not come in"));
        }
        let in_lobby = connect.query_value("lobby") == Some("1");
        Ok(Accept {
            user_id: user.map(Into::into),
            groups: in_lobby.then(|| LOBBY.into()).into_iter().collect(),
            roles: vec![
                "webpubsub.joinLeaveGroup".into(),
                "webpubsub.sendToGroup".into(),
            ],
            ..Accept::default()
        })
    }

    async fn connected(&self, context: &Context) {
        eprintln!("connected {}", context.connection_id());
    }

    async fn message(&self, context: &Context, message: Message) -> Result<Reply, Failure> {
        match message.name.as_str() {
            "echo" | "message" => Ok(message.payload.into()),
            "say" => say(context, &message.payload),
            "whoami" => Ok(who_is(context)),
            "count" => Ok(count(context)),
            "kick" => kick(context),
            "fail" => Err(Failure::new(Code::Internal, "failed as asked")),
            "slow" => Ok(slow(context).await),
            unknown => Ok(Reply::from(format!("unknown event {unknown}"))),
        }
    }

    async fn disconnected(&self, context: &Context, reason: &str) {
        let user = context.user_id().unwrap_or_default();
        println!("disconnected {} {user} {reason}", context.connection_id());
    }
}

/// Answers first, then tells the lobby: the sender hears the answer before its own words.
fn say(context: &Context, payload: &Payload) -> Result<Reply, Failure> {
    let said = json!({
        "user": context.user_id().unwrap_or_default(),
        "text": String::from_utf8_lossy(&payload.data),
    });
    answer_now(context, Reply::from("said"))?;
    context
        .hub()
        .send_to_group(LOBBY, Payload::json(said.to_string()));
    Ok(Reply::empty())
}

fn who_is(context: &Context) -> Reply {
    let who = json!({
        "connectionId": context.connection_id(),
        "userId": context.user_id().unwrap_or_default(),
        "hub": context.hub().name(),
        "subprotocol": context.subprotocol(),
    });
    Payload::json(who.to_string()).into()
}

/// The number is kept by the service, with the connection: any instance of the application can go on counting.
fn count(context: &Context) -> Reply {
    let so_far = String::from_utf8_lossy(context.state());
    let count = so_far.parse::<u64>().unwrap_or(0) + 1;
    Reply::from(count.to_string()).with_state(count.to_string())
}

fn kick(context: &Context) -> Result<Reply, Failure> {
    answer_now(context, Reply::empty())?;
    context
        .hub()
        .close_connection(context.connection_id(), "kicked");
    Ok(Reply::empty())
}

/// Longer than any client waits.
async fn slow(context: &Context) -> Reply {
    let waited = tokio::time::timeout(Duration::from_secs(60), context.cancelled()).await;
    Reply::from(match waited {
        Ok(()) => "cancelled",
        Err(_) => "slow",
    })
}

fn answer_now(context: &Context, reply: Reply) -> Result<(), Failure> {
    let answered = context.reply(reply);
    answered.map_err(|error| Failure::new(Code::Internal, error.to_string()))
}

#[cfg(test)]
mod tests {
    use headwater_upstream::{
        testing::{Sent, TestUpstream},
        v1::command::Operation,
    };

    use super::*;

    fn query(values: &[(&str, &str)]) -> Connect {
        let values = values.iter();
        Connect {
            query: values
                .map(|(name, value)| ((*name).into(), vec![(*value).into()]))
                .collect(),
            ..Connect::default()
        }
    }

    #[tokio::test]
    async fn the_user_comes_from_the_query_and_the_banned_stay_out() {
        let mut app = TestUpstream::start_in(HUB, Chat);
        let accept = app
            .connect("a", query(&[("user", "ada"), ("lobby", "1")]))
            .await
            .expect("let in");
        assert_eq!(accept.user_id.as_deref(), Some("ada"));
        assert_eq!(accept.groups, ["lobby"]);
        for refused in [("refuse", "1"), ("user", "banned")] {
            let reject = app.connect("b", query(&[refused])).await;
            assert_eq!(reject.expect_err("refused").0.code, Code::Unauthenticated);
        }
    }

    #[tokio::test]
    async fn s1_29_the_answer_to_say_comes_before_the_words_in_the_lobby() {
        let mut app = TestUpstream::start_in(HUB, Chat);
        app.connect("a", query(&[("user", "ada")]))
            .await
            .expect("let in");
        app.sent();
        app.message("a", "say", "hi \"all\"").await.expect("said");
        let sent = app.sent();
        let [
            Sent::Reply(reply),
            Sent::Command(Operation::SendToGroup(send)),
        ] = &sent[..]
        else {
            panic!("an answer, then a command: {sent:?}");
        };
        assert_eq!(*reply, Reply::from("said"));
        assert_eq!(send.group, "lobby");
        let payload = send.payload.clone().expect("the words").data;
        let said: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(said, json!({"user": "ada", "text": "hi \"all\""}));
    }

    #[tokio::test]
    async fn count_counts_messages_that_wait_for_each_other_too() {
        let mut app = TestUpstream::start_in(HUB, Chat);
        let waiting = [(); 3].map(|()| app.send_message("a", Message::new("count", "")));
        for (pending, count) in waiting.into_iter().zip(["1", "2", "3"]) {
            let reply = app.answer(pending).await.expect("counted");
            assert_eq!(reply.payload, Some(count.into()));
        }
    }

    #[tokio::test]
    async fn every_event_does_its_one_thing() {
        let mut app = TestUpstream::start_in(HUB, Chat);
        let json = Payload::json("[1]");
        let echo = app.message("a", "echo", json.clone()).await;
        assert_eq!(echo, Ok(Reply::from(json)));
        let unknown = app.message("a", "what", "").await;
        assert_eq!(unknown, Ok(Reply::from("unknown event what")));
        app.message("a", "fail", "").await.expect_err("as asked");
        let who = app.message("a", "whoami", "").await.expect("known");
        let who = who.payload.expect("JSON").data;
        let who: serde_json::Value = serde_json::from_slice(&who).expect("JSON");
        assert_eq!(
            who,
            json!({"connectionId": "a", "userId": "", "hub": "chat", "subprotocol": ""})
        );
        app.sent();
        app.message("a", "kick", "").await.expect("kicked");
        let sent = app.sent();
        let [
            Sent::Reply(_),
            Sent::Command(Operation::CloseConnection(close)),
        ] = &sent[..]
        else {
            panic!("an answer, then the end: {sent:?}");
        };
        assert_eq!((&*close.connection_id, &*close.reason), ("a", "kicked"));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_ends_when_its_client_has_gone_or_after_a_minute() {
        let mut app = TestUpstream::start_in(HUB, Chat);
        let pending = app.send_message("a", Message::new("slow", ""));
        app.settle().await;
        app.cancel(pending);
        assert_eq!(app.answer(pending).await, Ok(Reply::from("cancelled")));
        assert_eq!(app.message("a", "slow", "").await, Ok(Reply::from("slow")));
    }
}
