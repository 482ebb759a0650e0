//! The tests from outside: the real command, driven by the official clients, raw sockets and a browser.

use std::{path::PathBuf, process::Command};

use crate::{
    install,
    process::{Report, cargo, run as run_command},
    workspace::{root, target},
};

/// A file of tests and what it needs beside the service.
struct Suite {
    name: &'static str,
    browser: bool,
}

const SUITES: [Suite; 6] = [
    suite("js/service"),
    suite("js/bad-input"),
    suite("js/chat"),
    Suite {
        name: "js/demo",
        browser: true,
    },
    suite("python/chat"),
    suite("python/upstream"),
];

/// The programs under test and the variables that say where they are; the environment may name others, such as a
/// release build.
const PROGRAMS: [(&str, &str); 3] = [
    ("HEADWATER_BIN", "headwater"),
    ("HEADWATER_CHAT", "examples/chat"),
    ("HEADWATER_CHAT_UPSTREAM", "examples/chat-upstream"),
];

const fn suite(name: &'static str) -> Suite {
    Suite {
        name,
        browser: false,
    }
}

/// Where everything is, as the tests are told through their environment.
struct Tools {
    node: PathBuf,
    python: PathBuf,
}

/// Runs the suites that `filter` names, or all of them with only the tests that it names.
pub(crate) fn run(report: &mut Report, filter: Option<&str>) {
    let mut tools = Err("nothing is installed".into());
    report.step("e2e: packages", || {
        tools = packages();
        tools.as_ref().map(drop).map_err(String::clone)
    });
    let mut built = Err("nothing is built".into());
    report.step("e2e: build", || {
        built = build();
        built.clone()
    });
    let (Ok(tools), Ok(())) = (tools, built) else {
        return;
    };
    let named: Vec<&Suite> = SUITES
        .iter()
        .filter(|suite| filter.is_some_and(|filter| suite.name.contains(filter)))
        .collect();
    let pattern = filter.filter(|_| named.is_empty());
    let chosen = if named.is_empty() {
        SUITES.iter().collect()
    } else {
        named
    };
    for suite in chosen {
        report.step(&format!("e2e: {}", suite.name), || {
            run_suite(suite, &tools, pattern)
        });
    }
}

fn packages() -> Result<Tools, String> {
    Ok(Tools {
        node: install::node_packages()?,
        python: install::python()?,
    })
}

/// Built as the other tests are, with the features of the whole workspace, so that nothing is compiled twice.
fn build() -> Result<(), String> {
    run_command(
        cargo()
            .args(["build", "--workspace", "--locked"])
            .args(["--bin", "headwater"])
            .args(["--example", "chat", "--example", "chat-upstream"])
            .current_dir(root()),
    )
}

fn run_suite(suite: &Suite, tools: &Tools, pattern: Option<&str>) -> Result<(), String> {
    let folder = root().join("tests/e2e");
    let mut command = match suite.name.split_once('/') {
        Some(("python", name)) => {
            let mut command = Command::new(&tools.python);
            command.args(["-B", "-W", "ignore", "-m", "unittest"]);
            command.args(["--verbose", &format!("test_{name}")]);
            command.args(pattern.iter().flat_map(|pattern| ["-k", pattern]));
            command.current_dir(folder.join("python"));
            command
        }
        _ => {
            let mut command = Command::new("node");
            // The official client leaves timers behind.
            command.args(["--test", "--test-force-exit", "--test-reporter=spec"]);
            command.args(pattern.map(|pattern| format!("--test-name-pattern={pattern}")));
            command.arg(folder.join(format!("{}.test.mjs", suite.name)));
            command
        }
    };
    if suite.browser {
        command.env("HEADWATER_CHROMIUM", install::chromium()?);
    }
    for (variable, path) in PROGRAMS {
        let built = target().join("debug").join(path).into_os_string();
        command.env(variable, std::env::var_os(variable).unwrap_or(built));
    }
    command
        .env("HEADWATER_NODE", &tools.node)
        .env("HEADWATER_PYTHON", &tools.python);
    match run_command(&mut command) {
        // What unittest says when a pattern fits none of its tests (from Python 3.12 on).
        Err(error) if pattern.is_some() && error.ends_with("exit status: 5") => Ok(()),
        outcome => outcome,
    }
}
