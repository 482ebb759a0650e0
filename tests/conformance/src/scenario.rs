//! How a call is played and recorded, to be compared with the same call on another transport.

use std::{
    pin::{Pin, pin},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use headwater_rpc::{
    CallOptions, Encoding, Encodings, Metadata, Receiver, Sender, ServerConfig, Shape,
    interceptor::Filter,
};

use crate::{
    Fixture, Transport,
    control::{RUN, done, say},
    trace::{Lane, NO_END, Recorder, Trace},
};

/// What has not ended after this long never will. On a clock that stands still it costs nothing.
const HANG: Duration = Duration::from_secs(20);

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
pub(crate) type Act = fn(Talk) -> Playing;

pub(crate) type Playing = Pin<Box<dyn Future<Output = ()>>>;

/// Cancels a call, and gives back what is left to be read.
pub(crate) type Cancel = fn(Sender, Receiver) -> Option<Receiver>;

/// The client's side of a scenario.
pub(crate) struct Talk {
    pair: Rc<Fixture>,
    recorder: Recorder,
    metadata: Metadata,
    pub(crate) options: CallOptions,
}

impl Scenario {
    /// A call that comes to a handler of a server with the default bounds.
    pub(crate) const fn new(name: &'static str, act: Act) -> Self {
        Self {
            name,
            server: ServerConfig::default,
            is_handled: true,
            deadline_races: false,
            act,
        }
    }

    pub(crate) const fn with_server(self, server: fn() -> ServerConfig) -> Self {
        Self { server, ..self }
    }

    pub(crate) const fn never_handled(self) -> Self {
        Self {
            is_handled: false,
            ..self
        }
    }

    pub(crate) const fn with_a_deadline_that_races(self) -> Self {
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
    pub(crate) fn with(self, options: CallOptions) -> Self {
        Self { options, ..self }
    }

    pub(crate) fn shaped(self, shape: Shape) -> Self {
        let options = CallOptions {
            shape,
            ..self.options.clone()
        };
        self.with(options)
    }

    pub(crate) fn timed(self, timeout: Duration) -> Self {
        let options = CallOptions {
            timeout: Some(timeout),
            ..self.options.clone()
        };
        self.with(options)
    }

    /// Compresses the requests with gzip.
    pub(crate) fn compressed(self, accepted_encodings: Encodings) -> Self {
        let options = CallOptions {
            compression: Encoding::Gzip,
            accepted_encodings,
            ..self.options.clone()
        };
        self.with(options)
    }

    /// The values as they are in a header.
    pub(crate) fn with_metadata(mut self, entries: &[(&str, &str)]) -> Self {
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
    pub(crate) fn says(self, path: &'static str, lines: &[&str]) -> Playing {
        self.say_lines(path, lines, false)
    }

    /// Says these lines and half-closes.
    pub(crate) fn says_all(self, path: &'static str, lines: &[&str]) -> Playing {
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
    pub(crate) fn says_after_an_echo(self, line: &str, half_close: bool) -> Playing {
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
    pub(crate) fn cancels(self, lines: &[&str], half_close: bool, cancel: Cancel) -> Playing {
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
    pub(crate) fn stops(self, stop: fn(&Fixture)) -> Playing {
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
