//! The project's own commands, as `cargo xtask COMMAND`.
//!
//! Everything that the project checks can be run from here, on a laptop and in CI alike. It is made of the standard
//! library alone, so that it compiles in a moment. Nothing is skipped in silence: where a tool is missing and cannot be
//! installed, the step fails and says the exact command that installs it.

mod autobahn;
mod certificates;
mod ci;
mod docs;
mod e2e;
mod install;
mod interop;
mod no_std;
mod process;
mod tidy;
mod workspace;

use std::process::ExitCode;

use process::Report;

const HELP: &str = "\
The project's own commands.

Usage: cargo xtask COMMAND

  test          Everything that proves the project: unit and machine tests, doc tests, tidy, no-std, end to end.
                Installs what is missing: npm and PyPI packages into target/, Chromium through apt where it may.
  e2e [FILTER]  Only the tests from outside: the real command, the official clients, a browser, the gRPC interop cases
                against other libraries. FILTER is (part of) the name of a suite, such as js/chat, python/upstream or
                interop/python-client, or of a test or interop case.
  no-std        Checks headwater-proto, headwater-core and all their dependencies against a sysroot without std.
  tidy          House rules: file sizes, dependencies, names, machine paths, and which rows of the feature list
                have a test.
  docs          Builds the API documentation with warnings denied, checks every link of the guide and renders it.
                Compiles mdbook into target/ once, where there is none.
  fmt           Checks the formatting.
  clippy        The lints, with warnings denied.
  autobahn      The Autobahn WebSocket testsuite against the ws-echo example. Needs Python 2.7.
  ci            What .ci/run runs: fmt, clippy, test, docs, and autobahn where Python 2.7 is.

Environment: CARGO_TARGET_DIR moves target/. HEADWATER_CHROMIUM names another Chromium.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut report = Report::default();
    match arguments.as_slice() {
        ["test"] => ci::test(&mut report),
        ["e2e"] => e2e::run(&mut report, None),
        ["e2e", filter] => e2e::run(&mut report, Some(filter)),
        ["no-std"] => report.step("no-std", no_std::check),
        ["tidy"] => report.step("tidy", tidy::check),
        ["docs"] => docs::run(&mut report),
        ["fmt"] => report.step("fmt", ci::fmt),
        ["clippy"] => report.step("clippy", ci::clippy),
        ["autobahn"] => ci::autobahn(&mut report),
        ["ci"] => ci::ci(&mut report),
        [] | ["--help" | "-h" | "help"] => println!("{HELP}"),
        _ => {
            eprintln!("unknown command: {}\n\n{HELP}", arguments.join(" "));
            return ExitCode::from(2);
        }
    }
    report.finish()
}
