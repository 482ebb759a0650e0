//! Calls whose traces are the same on every transport.

use std::{
    pin::{Pin, pin},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use headwater_rpc::{
    CallOptions, Encoding, Encodings, Metadata, Receiver, SUPPORTED_ENCODINGS, Sender,
    ServerConfig, Shape, interceptor::Filter,
};

use crate::{
    Fixture, Transport,
    control::{COLLECT, ECHO, FAIL, LIST, RUN, WAIT, done, say},
    trace::{Lane, NO_END, Recorder, Trace},
};

/// What has not ended after this long never will. On a clock that stands still it costs nothing.
const HANG: Duration = Duration::from_secs(20);

/// Long enough that a call comes to its handler first, on a machine that is busy.
const DEADLINE: Duration = Duration::from_millis(500);

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

/// One call from its first part to its end.
pub struct Scenario {
    /// What is special about it.
    pub name: &'static str,
    /// The bounds of the server.
    server: fn() -> ServerConfig,
    /// Whether it comes to a handler, whose end is then waited for.
    is_handled: bool,
    /// See [`Recorder::new`].
    deadline_races: bool,
    /// The client's side.
    act: Act,
}

/// What the client does.
type Act = fn(Talk) -> Playing;

type Playing = Pin<Box<dyn Future<Output = ()>>>;

/// Cancels a call, and gives back what is left to be read.
type Cancel = fn(Sender, Receiver) -> Option<Receiver>;

/// The client's side of a scenario.
struct Talk {
    pair: Rc<Fixture>,
    recorder: Recorder,
    metadata: Metadata,
    options: CallOptions,
}

impl Scenario {
    /// A call that comes to a handler of a server with the default bounds.
    const fn new(name: &'static str, act: Act) -> Self {
        Self {
            name,
            server: ServerConfig::default,
            is_handled: true,
            deadline_races: false,
            act,
        }
    }

    const fn with_server(self, server: fn() -> ServerConfig) -> Self {
        Self { server, ..self }
    }

    const fn never_handled(self) -> Self {
        Self {
            is_handled: false,
            ..self
        }
    }

    const fn with_a_deadline_that_races(self) -> Self {
        Self {
            deadline_races: true,
            ..self
        }
    }

    /// Plays it on a transport, and gives what both ends saw. A call that does not end has a last line that says so.
    pub async fn record(&self, transport: Transport) -> Trace {
        let recorder = Recorder::new(self.deadline_races);
        let pair = Fixture::built(transport, |client, server| {
            let client = client.intercept(Filter::all(), recorder.clone());
            let server = server.intercept(Filter::all(), recorder.clone());
            (client, server.config((self.server)()))
        });
        // Both ends live until the server has heard of all.
        let pair = Rc::new(pair.await);
        let talk = Talk {
            pair: Rc::clone(&pair),
            recorder: recorder.clone(),
            metadata: Metadata::new(),
            options: CallOptions::default(),
        };
        let play = async {
            (self.act)(talk).await;
            if self.is_handled {
                recorder.server_ended().await;
            }
        };
        let mut play = pin!(play);
        if tokio::time::timeout(HANG, &mut play).await.is_err() {
            recorder.note(Lane::ClientReceives, NO_END.to_owned());
        }
        recorder.trace()
    }
}

impl Talk {
    fn with(self, options: CallOptions) -> Self {
        Self { options, ..self }
    }

    fn shaped(self, shape: Shape) -> Self {
        let options = CallOptions {
            shape,
            ..self.options.clone()
        };
        self.with(options)
    }

    fn timed(self, timeout: Duration) -> Self {
        let options = CallOptions {
            timeout: Some(timeout),
            ..self.options.clone()
        };
        self.with(options)
    }

    /// Compresses the requests with gzip.
    fn compressed(self, accepted_encodings: Encodings) -> Self {
        let options = CallOptions {
            compression: Encoding::Gzip,
            accepted_encodings,
            ..self.options.clone()
        };
        self.with(options)
    }

    /// The values as they are in a header.
    fn with_metadata(mut self, entries: &[(&str, &str)]) -> Self {
        for (key, value) in entries {
            let added = self.metadata.append_wire(key, value);
            added.expect("valid metadata");
        }
        self
    }

    async fn open(&self, path: &'static str) -> Option<(Sender, Receiver)> {
        let (metadata, options) = (self.metadata.clone(), self.options.clone());
        self.pair.client.call(path, metadata, options).await.ok()
    }

    /// Says these lines; the server ends the call, or it ends by itself.
    fn says(self, path: &'static str, lines: &[&str]) -> Playing {
        self.say_lines(path, lines, false)
    }

    /// Says these lines and half-closes.
    fn says_all(self, path: &'static str, lines: &[&str]) -> Playing {
        self.say_lines(path, lines, true)
    }

    fn say_lines(self, path: &'static str, lines: &[&str], half_close: bool) -> Playing {
        let lines = owned(lines);
        Box::pin(async move {
            let Some((sender, receiver)) = self.open(path).await else {
                return;
            };
            for line in lines {
                say(&sender, line);
            }
            if half_close {
                done(&sender);
            }
            self.end(receiver).await;
        })
    }

    /// Says a line once the handler is known to read; and half-closes, if the line is not to end the call.
    fn says_after_an_echo(self, line: &str, half_close: bool) -> Playing {
        let line = Bytes::copy_from_slice(line.as_bytes());
        Box::pin(async move {
            let Some((sender, mut receiver)) = self.open(RUN).await else {
                return;
            };
            say(&sender, "echo first");
            next(&mut receiver).await;
            let sent = sender.try_send(line);
            let line = format!("the next message: {sent:?}");
            self.recorder.note(Lane::ClientSends, line);
            if half_close {
                done(&sender);
            }
            self.end(receiver).await;
        })
    }

    /// Cancels while the handler waits.
    fn cancels(self, lines: &[&str], half_close: bool, cancel: Cancel) -> Playing {
        let lines = owned(lines);
        Box::pin(async move {
            let Some((sender, mut receiver)) = self.open(RUN).await else {
                return;
            };
            for line in lines {
                let is_answered = line.starts_with("echo");
                say(&sender, line);
                if is_answered {
                    next(&mut receiver).await;
                }
            }
            if half_close {
                done(&sender);
            }
            self.pair.control.started().await;
            if let Some(receiver) = cancel(sender, receiver) {
                self.end(receiver).await;
            }
        })
    }

    /// Stops an end while the handler waits.
    fn stops(self, stop: fn(&Fixture)) -> Playing {
        Box::pin(async move {
            let Some((sender, mut receiver)) = self.open(RUN).await else {
                return;
            };
            say(&sender, "echo x");
            next(&mut receiver).await;
            say(&sender, "wait");
            self.pair.control.started().await;
            stop(&self.pair);
            self.end(receiver).await;
        })
    }

    /// Reads to the end and notes what no transform sees: which messages came compressed, and who ended the call.
    async fn end(self, mut receiver: Receiver) {
        let (mut messages, mut compressed) = (0, Vec::new());
        while let Ok(count @ 1..) = receiver.next_batch(&mut Vec::new()).await {
            let flags = (0..count).filter(|&index| receiver.was_compressed(index));
            compressed.extend(flags.map(|index| messages + index));
            messages += count;
        }
        let by = receiver.ended().map(|ended| ended.by);
        let line = format!("ended by {by:?}, compressed: {compressed:?}");
        self.recorder.note(Lane::ClientReceives, line);
    }
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

/// Waits for an answer; an end in place of it shows in the trace.
async fn next(receiver: &mut Receiver) {
    let _ = receiver.next_batch(&mut Vec::new()).await;
}
