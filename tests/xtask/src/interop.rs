//! The published gRPC interop cases, between Headwater and independent peers, and between the peers.
//!
//! Every peer is a program of `tests/e2e/interop` with the same two command lines as the example `interop`:
//!
//! - `--listen URL` serves. It prints `listening URL`, `cannot CASE: REASON` for what its library is not able to answer,
//!   and `ready`; on SIGTERM it ends with success.
//! - `--run CASE,... URL` calls. It prints one line a case: `ok CASE`, `failed CASE: REASON`, or `cannot CASE: REASON` for
//!   one that its library can do only in part.
//!
//! Nothing is skipped in silence: what a peer cannot do is in the output, with its reason.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use crate::{
    certificates::Certificates,
    workspace::{root, target},
};

/// How long a peer may say nothing.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long a server may take to end.
const EXIT: Duration = Duration::from_secs(10);
const EXIT_LOOK: Duration = Duration::from_millis(20);

/// The cases, as `interop-test-descriptions.md` of gRPC names them. Those about credentials of a cloud are not here.
const CASES: [&str; 20] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "client_compressed_unary",
    "server_compressed_unary",
    "client_compressed_streaming",
    "server_compressed_streaming",
    "rpc_soak",
    "channel_soak",
];
/// Those that look at the flag of each message.
const COMPRESSION: &str = "_compressed_";
/// What is left of a case when the server cannot see that flag, and so cannot refuse the first call.
const WITHOUT_PROBE: &str = "_noprobe";

/// A program that serves and calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Headwater,
    /// grpcio.
    Python,
    /// @grpc/grpc-js.
    Js,
    /// gRPC written down frame by frame, which sees the flag of each message. Only the cases about compression.
    Wire,
}
use Peer::{Headwater, Js, Python, Wire};

/// Where servers listen.
const PLAINTEXT: &str = "http://127.0.0.1:0";
const TLS: &str = "https://127.0.0.1:0";
/// What is called over TLS: below it all is the same.
const TLS_CASES: [&str; 4] = [
    "empty_unary",
    "large_unary",
    "ping_pong",
    "status_code_and_message",
];

/// Our server over TLS.
pub(crate) const TLS_SUITE: &str = "interop/headwater-tls";
/// Our client and our server over the transports that no other library has with these services.
pub(crate) const TRANSPORTS_SUITE: &str = "interop/headwater-transports";
const TRANSPORTS: [&str; 3] = ["h3://127.0.0.1:0", "ws://127.0.0.1:0", "wss://127.0.0.1:0"];

/// Which peers call which servers. The name says who is the peer, and which part it has.
pub(crate) const SUITES: [(&str, &[(Peer, Peer)]); 7] = [
    ("interop/headwater", &[(Headwater, Headwater)]),
    ("interop/python-client", &[(Python, Headwater)]),
    ("interop/js-client", &[(Js, Headwater)]),
    ("interop/python-server", &[(Headwater, Python)]),
    ("interop/js-server", &[(Headwater, Js)]),
    ("interop/wire", &[(Wire, Headwater), (Headwater, Wire)]),
    // What judges Headwater is itself judged by the others.
    (
        "interop/peers",
        &[
            (Python, Js),
            (Js, Python),
            (Wire, Python),
            (Python, Wire),
            (Js, Wire),
        ],
    ),
];

/// Where the programs are.
pub(crate) struct Programs {
    pub(crate) headwater: PathBuf,
    pub(crate) python: PathBuf,
    /// The folder whose `node_modules` has the packages.
    pub(crate) node: PathBuf,
}

impl Programs {
    fn command(&self, peer: Peer, part: &str) -> Command {
        let folder = root().join("tests/e2e/interop");
        let script = |program: &PathBuf, name: String| {
            let mut command = Command::new(program);
            command.arg(folder.join(name));
            command
        };
        let mut command = match peer {
            Headwater => Command::new(&self.headwater),
            Python => script(&self.python, format!("python_{part}.py")),
            Wire => script(&self.python, format!("wire_{part}.py")),
            Js => script(&"node".into(), format!("js_{part}.mjs")),
        };
        command
            .env("HEADWATER_NODE", &self.node)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn server_with(&self, certificates: &Certificates) -> Command {
        let mut server = self.command(Headwater, "server");
        let (chain, key) = (&certificates.server, &certificates.key);
        server.arg("--cert").arg(chain).arg("--key").arg(key);
        server
    }
}

impl Peer {
    const fn name(self) -> &'static str {
        match self {
            Headwater => "Headwater",
            Python => "grpcio",
            Js => "grpc-js",
            Wire => "the wire",
        }
    }
}

/// Runs the cases that fit `pattern` between each pair, client first, and counts them.
pub(crate) fn run(
    pairs: &[(Peer, Peer)],
    programs: &Programs,
    pattern: Option<&str>,
    count: &mut usize,
) -> Result<(), String> {
    let mut failures = Vec::new();
    for &(client, server) in pairs {
        println!("{} calls {}", client.name(), server.name());
        let only_compression = client == Wire || server == Wire;
        let cases = CASES.into_iter().filter(|case| {
            (!only_compression || case.contains(COMPRESSION))
                && pattern.is_none_or(|pattern| case.contains(pattern))
        });
        let cases: Vec<&str> = cases.collect();
        *count += cases.len();
        if !cases.is_empty() {
            let (client, server) = (
                programs.command(client, "client"),
                programs.command(server, "server"),
            );
            failures.extend(run_pair(client, server, PLAINTEXT, &cases)?);
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(format!("failed: {}", failures.join(", ")))
}

/// Runs some cases with our server over TLS, whose authority the clients are told.
pub(crate) fn run_tls(
    programs: &Programs,
    pattern: Option<&str>,
    count: &mut usize,
) -> Result<(), String> {
    let certificates = Certificates::make(&target().join("interop-tls"))?;
    let cases = TLS_CASES.into_iter();
    let cases = cases.filter(|case| pattern.is_none_or(|pattern| case.contains(pattern)));
    let cases: Vec<&str> = cases.collect();
    *count += cases.len();
    if cases.is_empty() {
        return Ok(());
    }
    let server = || programs.server_with(&certificates);
    let mut failures = Vec::new();
    for peer in [Headwater, Python] {
        println!("{} calls Headwater over TLS", peer.name());
        let mut client = programs.command(peer, "client");
        client.arg("--ca").arg(&certificates.authority);
        failures.extend(run_pair(client, server(), TLS, &cases)?);
    }
    if !failures.is_empty() {
        return Err(format!("failed: {}", failures.join(", ")));
    }
    distrusts(programs, server(), &certificates)
}

/// Runs all cases over each of our other transports: what is below a call must not show.
pub(crate) fn run_transports(
    programs: &Programs,
    pattern: Option<&str>,
    count: &mut usize,
) -> Result<(), String> {
    let certificates = Certificates::make(&target().join("interop-transports"))?;
    let cases = CASES.into_iter();
    let cases = cases.filter(|case| pattern.is_none_or(|pattern| case.contains(pattern)));
    let cases: Vec<&str> = cases.collect();
    if cases.is_empty() {
        return Ok(());
    }
    let mut failures = Vec::new();
    for url in TRANSPORTS {
        println!("Headwater calls Headwater at {url}");
        *count += cases.len();
        let mut client = programs.command(Headwater, "client");
        client.arg("--ca").arg(&certificates.authority);
        let server = programs.server_with(&certificates);
        let failed = run_pair(client, server, url, &cases)?;
        failures.extend(failed.into_iter().map(|case| format!("{case} at {url}")));
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(format!("failed: {}", failures.join(", ")))
}

/// A client that trusts another authority does not call.
fn distrusts(
    programs: &Programs,
    server: Command,
    certificates: &Certificates,
) -> Result<(), String> {
    let mut server = Program::start(server, &["--listen", TLS])?;
    let (url, _) = ready(&server)?;
    let mut client = programs.command(Headwater, "client");
    client.arg("--ca").arg(&certificates.imposter);
    let mut client = Program::start(client, &["--call-unary", &url])?;
    let said = client.line()?.unwrap_or_default();
    let _ = client.child.wait();
    server.stop()?;
    if said.starts_with("status UNAVAILABLE") && said.contains("no authority that is trusted") {
        return Ok(());
    }
    Err(format!(
        "a client that trusts another authority said: {said}"
    ))
}

/// Gives the cases that failed.
fn run_pair(
    client: Command,
    server: Command,
    url: &str,
    cases: &[&str],
) -> Result<Vec<String>, String> {
    let mut server = Program::start(server, &["--listen", url])?;
    let (url, cannot) = ready(&server)?;
    let mut asked = Vec::new();
    for &case in cases {
        let Some(reason) = cannot.get(case) else {
            asked.push(case.to_owned());
            continue;
        };
        not_possible(case, reason);
        if case.starts_with("client") {
            asked.push(format!("{case}{WITHOUT_PROBE}"));
        }
    }
    let failures = if asked.is_empty() {
        Vec::new()
    } else {
        call(client, &url, asked)?
    };
    server.stop()?;
    Ok(failures)
}

/// The server's URL, and what it cannot do and why.
fn ready(server: &Program) -> Result<(String, BTreeMap<String, String>), String> {
    let mut url = None;
    let mut cannot = BTreeMap::new();
    loop {
        let line = server
            .line()?
            .ok_or("the server ended before it was ready")?;
        match line.split_once(' ') {
            Some(("listening", address)) => url = Some(address.to_owned()),
            Some(("cannot", rest)) => {
                let (case, reason) = rest.split_once(": ").unwrap_or((rest, ""));
                cannot.insert(case.to_owned(), reason.to_owned());
            }
            None if line == "ready" => break,
            Some(_) | None => return Err(format!("the server said: {line}")),
        }
    }
    let url = url.ok_or("the server did not say where it listens")?;
    Ok((url, cannot))
}

/// Has the client run these cases; gives those that failed.
fn call(client: Command, url: &str, mut asked: Vec<String>) -> Result<Vec<String>, String> {
    let mut client = Program::start(client, &["--run", &asked.join(","), url])?;
    let mut failures = Vec::new();
    while let Some(line) = client.line()? {
        let (outcome, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let (case, reason) = rest.split_once(": ").unwrap_or((rest, ""));
        let before = asked.len();
        asked.retain(|asked| asked != case);
        match outcome {
            _ if asked.len() == before => return Err(format!("the client said: {line}")),
            "ok" => println!("  ok      {case}"),
            "cannot" => not_possible(case, reason),
            _ => {
                println!("  FAILED  {case}: {reason}");
                failures.push(case.to_owned());
            }
        }
    }
    let ended = client.child.wait().map_err(|error| error.to_string())?;
    if !asked.is_empty() {
        return Err(format!("no word of {}: {ended}", asked.join(", ")));
    }
    if ended.success() != failures.is_empty() {
        return Err(format!("the client ended with {ended}"));
    }
    Ok(failures)
}

fn not_possible(case: &str, reason: &str) {
    println!("  -       {case}: not possible with this peer: {reason}");
}

/// A child and the lines of its standard output. It does not outlive this.
struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    fn start(mut command: Command, arguments: &[&str]) -> Result<Self, String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {program}: {error}"))?;
        let (sender, lines) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { child, lines })
    }

    /// The next line; `None` if no more come.
    fn line(&self) -> Result<Option<String>, String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Some(line)),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(None),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(format!("nothing was said for {PATIENCE:?}"))
            }
        }
    }

    /// Ends it as an operator would. It has to end with success, and soon.
    fn stop(&mut self) -> Result<(), String> {
        let id = self.child.id().to_string();
        crate::process::run(Command::new("kill").args(["-TERM", &id]))?;
        let late = Instant::now() + EXIT;
        while Instant::now() < late {
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            match ended {
                Some(ended) if ended.success() => return Ok(()),
                Some(ended) => return Err(format!("the server ended with {ended}")),
                None => thread::sleep(EXIT_LOOK),
            }
        }
        Err(format!("the server did not end within {EXIT:?} of SIGTERM"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and that is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Program, call, ready};

    /// A peer that says this, whatever it is asked.
    fn peer(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn outcome(script: &str) -> Result<Vec<String>, String> {
        call(peer(script), "url", vec!["a".into(), "b".into()])
    }

    #[test]
    fn every_case_that_was_asked_for_is_heard_of() {
        assert_eq!(outcome("echo ok a; echo cannot b: why"), Ok(vec![]));
        let failed = outcome("echo ok a; echo failed b: why; exit 1");
        assert_eq!(failed, Ok(vec!["b".to_owned()]));
        for (script, told) in [
            ("echo ok a", "no word of b"),
            ("echo ok a; echo ok b; exit 1", "exit status: 1"),
            ("echo ok a; echo failed b: why", "exit status: 0"),
            ("echo ok a; echo ok a", "the client said: ok a"),
        ] {
            let error = outcome(script).expect_err(script);
            assert!(error.contains(told), "{script}: {error}");
        }
    }

    #[test]
    fn a_server_says_where_it_is_and_what_it_cannot_do() {
        let script = "echo listening http://x; echo cannot a: why: so; echo ready";
        let server = Program::start(peer(script), &[]).expect("there is a shell");
        let cannot = [("a".to_owned(), "why: so".to_owned())].into();
        assert_eq!(ready(&server), Ok(("http://x".to_owned(), cannot)));
        for script in ["echo ready", "echo listening http://x", "echo nonsense"] {
            let server = Program::start(peer(script), &[]).expect("there is a shell");
            ready(&server).expect_err(script);
        }
    }
}
