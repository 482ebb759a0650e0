//! Calls whose traces are the same on every transport.

use std::time::Duration;

use headwater_rpc::{
    CallOptions, Encodings, Receiver, SUPPORTED_ENCODINGS, Sender, ServerConfig, Shape,
};

use crate::{
    control::{COLLECT, ECHO, FAIL, LIST, RUN, WAIT},
    scenario::Scenario,
};

/// Long enough that a call comes to its handler first, on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(1);

/// A limit that the scenarios cross by their longest message.
const LIMIT_BYTES: usize = 100;

/// Every scenario.
pub static SCENARIOS: &[Scenario] = &[
    // All four shapes.
    Scenario::new("unary", |talk| {
        talk.shaped(Shape::Unary).says_all(ECHO, &["hello"])
    }),
    Scenario::new("an empty unary message", |talk| {
        talk.shaped(Shape::Unary).says_all(ECHO, &[""])
    }),
    Scenario::new("client streaming", |talk| {
        let talk = talk.shaped(Shape::ClientStreaming);
        talk.says_all(COLLECT, &["count", "a", "bb", ""])
    }),
    Scenario::new("server streaming", |talk| {
        let talk = talk.shaped(Shape::ServerStreaming);
        talk.says_all(LIST, &["send 20 100"])
    }),
    Scenario::new("both streaming", |talk| {
        talk.says_all(RUN, &["echo a", "echo ", "send 2 3", "echo b"])
    }),
    Scenario::new("no message either way", |talk| talk.says_all(RUN, &[])),
    Scenario::new("messages beyond a window", |talk| {
        talk.says_all(RUN, &["send 3 400000"])
    }),
    // Metadata.
    Scenario::new("metadata", |talk| {
        let talk = talk.with_metadata(&[
            ("key", "one, with a comma"),
            ("raw-bin", "AP8K"),
            ("key", "two"),
            ("raw-bin", ""),
        ]);
        talk.says_all(RUN, &["reflect", "echo x"])
    }),
    Scenario::new("metadata of a unary call", |talk| {
        let talk = talk.with_metadata(&[("key", "one"), ("raw-bin", "AP8K")]);
        talk.shaped(Shape::Unary).says_all(ECHO, &["hello"])
    }),
    Scenario::new("headers before the first message", |talk| {
        talk.says_all(RUN, &["headers key first", "echo x", "trailer key last"])
    }),
    Scenario::new("headers without a message", |talk| {
        talk.says(RUN, &["headers key first", "status 5 none"])
    }),
    // Ends that the server says.
    Scenario::new("trailers only", |talk| {
        talk.says(RUN, &["trailer key last", "status 9 not now"])
    }),
    Scenario::new("a unary failure", |talk| {
        talk.shaped(Shape::Unary)
            .says_all(FAIL, &["5 100 % \u{1F4A7}"])
    }),
    Scenario::new("an error after messages", |talk| {
        let lines = ["echo a", "echo b", "trailer raw-bin AAH/", "status 10 stop"];
        talk.says(RUN, &lines)
    }),
    Scenario::new("rich details", |talk| {
        talk.says(RUN, &["echo a", "details d\0\u{FF}", "status 3 see there"])
    }),
    Scenario::new("rich details at once", |talk| {
        talk.says(RUN, &["details d\0\u{FF}", "status 3 see there"])
    }),
    Scenario::new("a handler that ends without a status", |talk| {
        talk.says(RUN, &["echo a", "drop"])
    }),
    Scenario::new("an unknown method", |talk| {
        talk.says_all("/headwater.test.Control/Nothing", &["x"])
    })
    .never_handled(),
    Scenario::new("a request without its message", |talk| {
        talk.says_all(ECHO, &[])
    }),
    // The order of the ends.
    Scenario::new("half-closed before the status", |talk| {
        talk.says_all(RUN, &["trailer key last"])
    }),
    Scenario::new("ended before the half-close", |talk| {
        talk.says(RUN, &["echo a", "ok"])
    }),
    // Cancels.
    Scenario::new("cancelled before an answer", |talk| {
        talk.cancels(&["wait"], false, cancelled)
    }),
    Scenario::new("cancelled after an answer", |talk| {
        talk.cancels(&["echo x", "wait"], false, cancelled)
    }),
    Scenario::new("cancelled after the half-close", |talk| {
        talk.cancels(&["echo x", "wait"], true, cancelled)
    }),
    Scenario::new("both halves dropped", |talk| {
        talk.cancels(&["echo x", "wait"], false, dropped)
    }),
    Scenario::new("both halves dropped after the half-close", |talk| {
        talk.cancels(&["wait"], true, dropped)
    }),
    // Deadlines.
    Scenario::new("the client's deadline", |talk| {
        talk.timed(DEADLINE).says(RUN, &["echo x", "wait"])
    })
    .with_a_deadline_that_races(),
    Scenario::new("the client's deadline on a unary call", |talk| {
        let talk = talk.timed(DEADLINE).shaped(Shape::Unary);
        talk.says_all(WAIT, &["x"])
    })
    .with_a_deadline_that_races(),
    Scenario::new("the server's deadline", |talk| {
        talk.says(RUN, &["echo x", "wait"])
    })
    .with_server(|| ServerConfig {
        timeout_max: Some(DEADLINE),
        ..ServerConfig::default()
    }),
    // Limits: what the client sends, the server takes, the server sends, the client takes.
    Scenario::new("a request that the client may not send", |talk| {
        let options = CallOptions {
            send_message_bytes_max: Some(LIMIT_BYTES),
            ..talk.options.clone()
        };
        talk.with(options).says_after_an_echo(&long("echo"), true)
    }),
    Scenario::new("a request that the server does not take", |talk| {
        talk.says_after_an_echo(&long("echo"), false)
    })
    .with_server(|| ServerConfig {
        receive_message_bytes_max: LIMIT_BYTES,
        ..ServerConfig::default()
    }),
    Scenario::new("a response that the server may not send", |talk| {
        talk.shaped(Shape::Unary).says_all(ECHO, &[&long("x")])
    })
    .with_server(|| ServerConfig {
        send_message_bytes_max: LIMIT_BYTES,
        ..ServerConfig::default()
    }),
    Scenario::new("a response that the client does not take", |talk| {
        let options = CallOptions {
            receive_message_bytes_max: Some(LIMIT_BYTES),
            ..talk.options.clone()
        };
        talk.with(options).says_after_an_echo(&long("echo"), false)
    }),
    // Compression.
    Scenario::new("compressed both ways", |talk| {
        let talk = talk.compressed(SUPPORTED_ENCODINGS);
        let (flag, echo) = (long("flag"), long("echo"));
        talk.says_all(RUN, &["compress gzip", &flag, &echo, "echo short"])
    }),
    Scenario::new("compressed there", |talk| {
        let talk = talk.compressed(Encodings::default());
        let (flag, echo) = (long("flag"), long("echo"));
        talk.says_all(RUN, &["compress gzip", &flag, &echo])
    }),
    Scenario::new("an encoding that the server does not take", |talk| {
        let talk = talk.compressed(SUPPORTED_ENCODINGS);
        talk.says_all(RUN, &[&long("echo")])
    })
    .with_server(|| ServerConfig {
        accepted_encodings: Encodings::default(),
        ..ServerConfig::default()
    })
    .never_handled(),
    // Stops. A server that stops at once is not among them: it can say so in process, and elsewhere its connections break.
    Scenario::new("a server that stops gracefully", |talk| {
        talk.stops(|pair| pair.server.begin_graceful_shutdown())
    }),
    Scenario::new("a client that stops at once", |talk| {
        talk.stops(|pair| pair.connecting.abort())
    }),
];

/// A line that crosses the limit, and gets smaller in any encoding.
fn long(verb: &str) -> String {
    format!("{verb} {}", "z".repeat(10 * LIMIT_BYTES))
}

fn cancelled(sender: Sender, receiver: Receiver) -> Option<Receiver> {
    sender.cancel();
    Some(receiver)
}

fn dropped(sender: Sender, receiver: Receiver) -> Option<Receiver> {
    drop((sender, receiver));
    None
}
