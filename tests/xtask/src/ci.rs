//! The runs that are made of several steps.

use crate::{
    autobahn::{self, Failure},
    docs, e2e, no_std,
    process::{Report, cargo, exists, run},
    tidy,
    workspace::root,
};

/// What `.ci/run` runs.
pub(crate) fn ci(report: &mut Report) {
    report.step("fmt", fmt);
    report.step("clippy", clippy);
    test(report);
    docs::run(report);
    // Most machines cannot have a Python 2.7: whoever reads the summary is told, and nothing fails.
    if autobahn::is_possible() {
        autobahn(report);
    } else {
        report.notice(Failure::NoPython27.to_string());
    }
}

/// The Autobahn testsuite, as a command of its own: here it fails where it cannot run.
pub(crate) fn autobahn(report: &mut Report) {
    report.step("autobahn", || {
        autobahn::run().map_err(|failure| failure.to_string())
    });
}

/// Every test.
pub(crate) fn test(report: &mut Report) {
    report.step("tidy", tidy::check);
    report.step("no-std", no_std::check);
    report.step("tests", tests);
    report.step("doc tests", doc_tests);
    e2e::run(report, None);
}

pub(crate) fn fmt() -> Result<(), String> {
    run(cargo()
        .args(["fmt", "--all", "--check"])
        .current_dir(root()))
}

pub(crate) fn clippy() -> Result<(), String> {
    run(cargo()
        .args(["clippy", "--workspace", "--all-targets", "--locked"])
        .args(["--", "--deny", "warnings"])
        .current_dir(root()))
}

/// By nextest where it is installed, since it isolates and times each test; by `cargo test` otherwise.
fn tests() -> Result<(), String> {
    let mut command = cargo();
    if exists("cargo-nextest") {
        command.args(["nextest", "run", "--no-fail-fast", "--no-tests=pass"]);
        command.args(["--status-level=slow", "--final-status-level=slow"]);
    } else {
        command.args(["test", "--no-fail-fast", "--lib", "--bins", "--tests"]);
        command.arg("--examples");
    }
    run(command
        .args(["--workspace", "--locked"])
        .current_dir(root()))
}

fn doc_tests() -> Result<(), String> {
    run(cargo()
        .args(["test", "--workspace", "--doc", "--locked", "--quiet"])
        .current_dir(root()))
}
