//! One message for every consumer, and the chat that is made of it.

use headwater_proto::push_channel::{
    ConnRequest, HistoryReply, HistoryRequest, LogInReply, LogInRequest, Mode, SubmitRequest,
};
use headwater_rpc::{Code, Metadata};

use super::*;
use crate::support::*;

fn fanout(name: &str) -> headwater::ChannelsConfig {
    let mut config = open();
    config.fanout.insert(name.into());
    config
}

fn in_mode(mode: Mode) -> ConnRequest {
    ConnRequest {
        mode: mode.into(),
        ..channel("c")
    }
}

fn in_group(group: &str) -> ConnRequest {
    ConnRequest {
        group: group.into(),
        ..channel("c")
    }
}

/// S3-11: publish and subscribe, by the channel's configuration and by the consumer's wish.
#[tokio::test]
async fn s3_11_in_a_fan_out_every_consumer_has_every_message() {
    for (config, request) in [
        (fanout("c"), channel("c")),
        (open(), in_mode(Mode::Fanout)),
        (fanout(""), channel("")),
    ] {
        for url in upstream_urls() {
            let (config, request) = (config.clone(), request.clone());
            let name = request.channel.clone();
            let site = Site::at(&url, config).await;
            let client = site.client();
            submit(&client, &name, "before").await;
            let mut consumers = Vec::new();
            for _ in 0..3 {
                consumers.push(Consumer::push(&site.client(), request.clone()).await);
            }
            for text in ["a", "b"] {
                submit(&client, &name, text).await;
            }
            for consumer in &mut consumers {
                assert_eq!(consumer.texts(2).await, ["a", "b"], "{url}: from now on");
            }
        }
    }
}

/// S3-10: who comes back goes on behind what it received, as long as it is the same channel.
#[tokio::test]
async fn s3_10_an_offset_counts_in_the_epoch_that_it_is_of() {
    let site = Site::start(open()).await;
    let client = site.client();
    for text in ["one", "two", "three"] {
        submit(&client, "c", text).await;
    }
    let from = |epoch: &str| ConnRequest {
        mode: Mode::Fanout.into(),
        from_offset: 3,
        epoch: epoch.into(),
        ..channel("c")
    };
    let mut first = Consumer::push(&client, from("")).await;
    assert_eq!(first.text().await, "three", "whichever it is");
    let epoch = first.header("headwater-channel-epoch").await;
    assert!(!epoch.is_empty());
    let mut same = Consumer::consume(&client, from(&epoch)).await;
    assert_eq!(same.text().await, "three");
    let mut other = Consumer::push(&client, from("another")).await;
    assert_eq!(
        other.texts(3).await,
        ["one", "two", "three"],
        "all that is kept"
    );
}

/// S3-11: consumer groups: one consumer of each group has each message.
#[tokio::test]
async fn s3_11_each_group_has_every_message_once() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        let mut red = [
            Consumer::push(&client, in_group("red")).await,
            Consumer::push(&client, in_group("red")).await,
        ];
        let mut blue = Consumer::push(&client, in_group("blue")).await;
        for number in 0..10 {
            submit(&client, "c", &number.to_string()).await;
        }
        let all: Vec<_> = (0..10).map(|number| number.to_string()).collect();
        assert_eq!(blue.texts(10).await, all, "{url}");
        let mut both = red[0].texts(5).await;
        both.extend(red[1].texts(5).await);
        both.sort();
        assert_eq!(both, all, "{url}");
        let mut nameless = Consumer::push(&client, channel("c")).await;
        assert_eq!(
            nameless.texts(10).await,
            all,
            "{url}: the group without a name is one of them"
        );
    }
}

#[tokio::test]
async fn a_group_that_begins_may_ask_for_what_was_before() {
    let site = Site::start(open()).await;
    let client = site.client();
    for text in ["a", "b", "c"] {
        submit(&client, "c", text).await;
    }
    let late = ConnRequest {
        from_offset: 2,
        ..in_mode(Mode::Fanout)
    };
    let mut late = Consumer::push(&client, late).await;
    assert_eq!(late.texts(2).await, ["b", "c"]);
}

#[tokio::test]
async fn what_contradicts_itself_is_refused() {
    let site = Site::start(open()).await;
    let client = site.client();
    let both = ConnRequest {
        mode: Mode::Fanout.into(),
        ..in_group("g")
    };
    let unknown = ConnRequest {
        mode: 77,
        ..channel("c")
    };
    for request in [both, unknown] {
        let mut consumer = Consumer::try_push(&client, request, Metadata::new()).await;
        assert_eq!(consumer.end().await, Code::InvalidArgument);
    }
}

/// S3-22: the fan-out is by subscription: one user with three consumers has three, and one who left has none.
#[tokio::test]
async fn s3_22_the_fan_out_is_by_subscription() {
    for url in upstream_urls() {
        let site = Site::at(&url, fanout("")).await;
        let client = site.client();
        let mut first = Consumer::push(&client, channel("")).await;
        let second = Consumer::push(&client, channel("")).await;
        assert_eq!(site.consumers(""), 2, "{url}");
        drop(second);
        until("it to leave", || site.consumers("") == 1).await;
        let mut third = Consumer::push(&client, channel("")).await;
        submit(&client, "", "m").await;
        assert_eq!(first.text().await, "m", "{url}");
        assert_eq!(third.text().await, "m", "{url}");
        let delivered = site
            .service
            .channel_counters("")
            .map(|counters| counters.delivered);
        assert_eq!(delivered, Some(2), "{url}: nothing for the one who left");
    }
}

fn said(name: &str, text: &str) -> SubmitRequest {
    SubmitRequest {
        message: name.into(),
        email: format!("{name}@example.org"),
        header: "greeting".into(),
        text: text.into(),
        time: "noon".into(),
        ..SubmitRequest::default()
    }
}

/// S3-21: structured metadata for each message, and history paged by offset, for people too.
#[tokio::test]
async fn s3_21_a_chat_keeps_its_words_and_its_history() {
    for url in upstream_urls() {
        let site = Site::at(&url, fanout("")).await;
        let client = site.client();
        let request = LogInRequest {
            email: "ann@example.org".into(),
            name: "ann".into(),
        };
        let login: LogInReply = ask(&client, "LogIn", request, Metadata::new())
            .await
            .expect("answered");
        assert!(!login.reply.is_empty(), "{url}");

        let mut consumer = Consumer::push(&client, channel("")).await;
        let texts = ["one", "two", "three"];
        for text in texts {
            let reply = try_submit(&client, said("ann", text), Metadata::new()).await;
            assert_eq!(reply.expect("taken").reply, "received", "{url}");
        }
        for text in texts {
            let reply = consumer.next().await;
            let SubmitRequest {
                message,
                email,
                header,
                text,
                time,
                ..
            } = said("ann", text);
            assert_eq!(
                (
                    reply.message,
                    reply.email,
                    reply.header,
                    reply.text,
                    reply.time
                ),
                (message, email, header, text, time),
                "{url}"
            );
        }

        let page = |from_offset, limit| {
            let request = HistoryRequest {
                name: "bob".into(),
                from_offset,
                limit,
                ..HistoryRequest::default()
            };
            ask::<HistoryReply>(&client, "GetHistory", request, Metadata::new())
        };
        let all = page(0, 0).await.expect("a page");
        assert_eq!(all.messages.len(), 3, "{url}");
        assert!(
            texts.iter().all(|text| all.message.contains(text)),
            "{url}: {}",
            all.message
        );
        let first = page(0, 2).await.expect("a page");
        let of = |reply: &HistoryReply| -> Vec<_> {
            reply
                .messages
                .iter()
                .map(|message| message.text.clone())
                .collect()
        };
        assert_eq!(
            (of(&first), first.next_offset),
            (vec!["one".into(), "two".into()], 3)
        );
        let second = page(first.next_offset, 2).await.expect("a page");
        assert_eq!(
            (of(&second), second.next_offset),
            (vec!["three".into()], 0),
            "{url}"
        );
    }
}

#[tokio::test]
async fn the_history_of_a_channel_that_is_not_there_is_empty_and_begins_none() {
    let site = Site::start(open()).await;
    let request = HistoryRequest {
        channel: "nobody's".into(),
        ..HistoryRequest::default()
    };
    let reply: HistoryReply = ask(&site.client(), "GetHistory", request, Metadata::new())
        .await
        .expect("a page");
    assert_eq!(reply, HistoryReply::default());
    assert_eq!(site.service.channel_counters("nobody's"), None);
}
