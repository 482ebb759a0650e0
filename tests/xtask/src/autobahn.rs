//! The Autobahn WebSocket testsuite against the `ws-echo` example: RFC 6455 as others understand it.
//!
//! The suite is a program for Python 2.7, which no current distribution carries; `pyenv install 2.7.18` does. It is
//! installed from PyPI into the target directory once. Its cases 12 and 13 are about compression, which is not offered.

use std::{
    env, fmt, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::workspace::{root, target};

const SUITE: &str = "autobahntestsuite==0.8.2";

/// How many cases the suite has without 12.* and 13.*: a run with fewer has left some out.
const CASES: usize = 301;

/// Why the suite has not passed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no Python 2.7, so nothing was tested.
    NoPython27,
    /// A case failed, or the suite could not run.
    Failed(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPython27 => f.write_str(
                "AUTOBAHN WAS NOT RUN: it needs Python 2.7, and there is neither `python2.7` in the path nor a 2.7 in \
                pyenv; `pyenv install 2.7.18` installs one",
            ),
            Self::Failed(what) => f.write_str(what),
        }
    }
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self::Failed(what)
    }
}

/// Whether there is a Python 2.7 to run the suite with.
pub(crate) fn is_possible() -> bool {
    Python::find().is_some()
}

/// Builds `ws-echo`, installs the suite if it is not there yet, runs it, and prints how many cases ended how.
///
/// # Errors
///
/// [`Failure::NoPython27`], or what went wrong.
pub(crate) fn run() -> Result<(), Failure> {
    let python = Python::find().ok_or(Failure::NoPython27)?;
    let home = target().join("autobahn");
    let suite = install(&python, &home)?;
    let echo = Echo::start()?;
    let reports = home.join("reports");
    let spec = home.join("fuzzingclient.json");
    write(&spec, &spec_text(&echo.url, &reports))?;
    // Reports of an earlier run must not count for this one.
    let _ = fs::remove_dir_all(&reports);
    let mut wstest = python.command();
    wstest.env("PYTHONUSERBASE", suite.join("python"));
    wstest.arg(suite.join("python/bin/wstest"));
    wstest.args(["-m", "fuzzingclient", "-s"]).arg(&spec);
    wstest.current_dir(&home);
    check(wstest.stdout(Stdio::null()).stderr(Stdio::inherit()))?;
    drop(echo);
    let index = reports.join("index.json");
    let text =
        fs::read_to_string(&index).map_err(|error| format!("{}: {error}", index.display()))?;
    judge(&text, &reports)
}

/// A Python 2.7 that starts.
struct Python {
    /// What pyenv must be told, where `python2.7` is one of its shims.
    pyenv_version: Option<String>,
}

impl Python {
    fn find() -> Option<Self> {
        let installed = Command::new("pyenv").args(["versions", "--bare"]).output();
        let installed =
            installed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let of_pyenv = installed.unwrap_or_default();
        let of_pyenv = of_pyenv
            .lines()
            .map(str::trim)
            .filter(|v| v.starts_with("2.7"));
        std::iter::once(None)
            .chain(of_pyenv.map(|version| Some(version.to_owned())))
            .map(|pyenv_version| Self { pyenv_version })
            .find(Self::starts)
    }

    fn starts(&self) -> bool {
        let mut command = self.command();
        command.args(["-c", "import sys; sys.exit(sys.version_info[:2] != (2, 7))"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn command(&self) -> Command {
        let mut command = Command::new("python2.7");
        if let Some(version) = &self.pyenv_version {
            command.env("PYENV_VERSION", version);
        }
        command
    }
}

/// Installs the suite below `home`, unless it is there.
fn install(python: &Python, home: &Path) -> Result<PathBuf, Failure> {
    let done = home.join("installed");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == SUITE) {
        return Ok(home.to_owned());
    }
    println!("installing {SUITE}: about two minutes");
    fs::create_dir_all(home).map_err(|error| format!("{}: {error}", home.display()))?;
    let mut pip = python.command();
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-warn-script-location",
    ]);
    pip.args(["--disable-pip-version-check", "--prefix"])
        .arg(home.join("python"));
    check(pip.arg(SUITE))?;
    write(&done, SUITE)?;
    Ok(home.to_owned())
}

/// A running `ws-echo`, which ends with this value.
struct Echo {
    process: Child,
    /// Kept open: a process whose output nobody reads would end with its next line.
    _output: BufReader<ChildStdout>,
    url: String,
}

impl Echo {
    fn start() -> Result<Self, Failure> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "headwater-examples"]);
        check(build.args(["--example", "ws-echo"]).current_dir(root()))?;
        let binary = target().join("debug/examples/ws-echo");
        let mut process = Command::new(&binary)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let output = process
            .stdout
            .take()
            .ok_or("ws-echo has no output".to_owned())?;
        let mut echo = Self {
            process,
            _output: BufReader::new(output),
            url: String::new(),
        };
        let mut ready = String::new();
        let read = echo._output.read_line(&mut ready);
        read.map_err(|error| format!("ws-echo does not answer: {error}"))?;
        let url = ready.trim().strip_prefix("ready ");
        echo.url = url.ok_or(format!("ws-echo says {ready:?}"))?.to_owned();
        Ok(echo)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spec_text(url: &str, reports: &Path) -> String {
    format!(
        r#"{{
    "outdir": {reports:?},
    "servers": [{{"agent": "ws-echo", "url": {url:?}}}],
    "cases": ["*"],
    "exclude-cases": ["12.*", "13.*"],
    "exclude-agent-cases": {{}}
}}
"#
    )
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn check(command: &mut Command) -> Result<(), Failure> {
    let status = command.status();
    let status = status.map_err(|error| format!("{command:?}: {error}"))?;
    if !status.success() {
        return Err(format!("{command:?}: {status}").into());
    }
    Ok(())
}

/// How one case ended: its name, how the peer behaved, and how it closed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    case: String,
    behavior: String,
    close: String,
}

impl Outcome {
    fn passed(&self) -> bool {
        let passes = |verdict: &str| matches!(verdict, "OK" | "NON-STRICT" | "INFORMATIONAL");
        passes(&self.behavior) && passes(&self.close)
    }
}

/// Reads the suite's `index.json`: an object per case, of which all that counts are strings.
fn outcomes(index: &str) -> Vec<Outcome> {
    // Between quotes is every second piece; no string of this file has a quote in it.
    let mut strings = index.split('"').skip(1).step_by(2);
    let mut outcomes: Vec<Outcome> = Vec::new();
    while let Some(string) = strings.next() {
        if string.contains('.') && string.bytes().all(|b| b == b'.' || b.is_ascii_digit()) {
            let case = string.to_owned();
            outcomes.push(Outcome {
                case,
                ..Outcome::default()
            });
            continue;
        }
        let Some(outcome) = outcomes.last_mut() else {
            continue;
        };
        match string {
            "behavior" => outcome.behavior = strings.next().unwrap_or_default().to_owned(),
            "behaviorClose" => outcome.close = strings.next().unwrap_or_default().to_owned(),
            _ => {}
        }
    }
    outcomes
}

/// Prints how many cases ended how; fails if one has not passed, or some are missing.
fn judge(index: &str, reports: &Path) -> Result<(), Failure> {
    let outcomes = outcomes(index);
    let count = |verdict| outcomes.iter().filter(|o| o.behavior == verdict).count();
    println!(
        "autobahn: {} cases, {} OK, {} non-strict, {} informational",
        outcomes.len(),
        count("OK"),
        count("NON-STRICT"),
        count("INFORMATIONAL")
    );
    let failed: Vec<_> = outcomes.iter().filter(|o| !o.passed()).collect();
    for outcome in &failed {
        println!(
            "case {}: {}, close: {}",
            outcome.case, outcome.behavior, outcome.close
        );
    }
    if !failed.is_empty() {
        let reports = reports.display();
        return Err(format!("{} cases failed: see {reports}/index.html", failed.len()).into());
    }
    if outcomes.len() != CASES {
        return Err(format!("{} cases were run instead of {CASES}", outcomes.len()).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = r#"{
   "ws-echo": {
      "1.1.1": {"behavior": "OK", "behaviorClose": "OK", "duration": 2, "reportfile": "ws_echo_case_1_1_1.json"},
      "6.4.1": {"behavior": "NON-STRICT", "behaviorClose": "UNCLEAN", "remoteCloseCode": null}
   }
}"#;

    #[test]
    fn a_case_passes_by_how_it_behaves_and_how_it_closes() {
        let outcomes = outcomes(INDEX);
        let passed: Vec<_> = outcomes
            .iter()
            .map(|o| (o.case.as_str(), o.passed()))
            .collect();
        assert_eq!(passed, [("1.1.1", true), ("6.4.1", false)]);
    }

    #[test]
    fn a_run_that_left_cases_out_fails() {
        let one = INDEX.replace("UNCLEAN", "OK");
        assert!(judge(&one, Path::new("reports")).is_err());
    }
}
