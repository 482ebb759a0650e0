//! The tests from outside: the real command, driven by the official clients, raw sockets and a browser.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    install, interop,
    process::{Report, cargo, run as run_command},
    workspace::{root, target},
};

/// A file of tests and what it needs beside the service.
struct Suite {
    name: &'static str,
    tool: Tool,
}

/// A program that a suite needs beside the packages.
enum Tool {
    None,
    Chromium,
    Strace,
}

const SUITES: &[Suite] = &[
    suite("js/service"),
    suite("js/bad-input"),
    suite("js/chat"),
    Suite {
        name: "js/transports",
        tool: Tool::Strace,
    },
    Suite {
        name: "js/demo",
        tool: Tool::Chromium,
    },
    Suite {
        name: "js/grpc-web",
        tool: Tool::Chromium,
    },
    suite("js/zrpc"),
    suite("js/buf-curl"),
    suite("python/chat"),
    suite("python/upstream"),
    suite("python/services"),
    suite("python/wps_rpc"),
    suite("python/interop"),
    suite("python/zrpc"),
    suite("python/http3"),
    suite("python/push_channel"),
    suite("python/push_chat"),
    suite("python/push_produce"),
    suite("pigweed/pw_rpc"),
];

/// The programs under test and the variables that say where they are; the environment may name others, such as a
/// release build.
const PROGRAMS: [(&str, &str); 7] = [
    ("HEADWATER_BIN", "headwater"),
    ("HEADWATER_CHAT", "examples/chat"),
    ("HEADWATER_CHAT_UPSTREAM", "examples/chat-upstream"),
    ("HEADWATER_INTEROP", "examples/interop"),
    ("HEADWATER_ECHO", "examples/echo"),
    ("HEADWATER_PEOPLE", "examples/people"),
    ("HEADWATER_DEVICE", "examples/device"),
];

const fn suite(name: &'static str) -> Suite {
    Suite {
        name,
        tool: Tool::None,
    }
}

/// Where everything is, as the tests are told through their environment.
struct Tools {
    node: PathBuf,
    python: PathBuf,
    pigweed: PathBuf,
}

impl Tools {
    fn programs(&self) -> interop::Programs {
        interop::Programs {
            headwater: program("HEADWATER_INTEROP", "examples/interop"),
            python: self.python.clone(),
            node: self.node.clone(),
        }
    }
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
    // What names no suite names tests, in whichever suite they are.
    let pattern = filter.filter(|filter| !suites().any(|name| name.contains(filter)));
    let is_chosen =
        |name: &str| pattern.is_some() || filter.is_none_or(|filter| name.contains(filter));
    let mut tests = 0;
    for suite in SUITES.iter().filter(|suite| is_chosen(suite.name)) {
        report.step(&format!("e2e: {}", suite.name), || {
            let mut command = command_of(suite, &tools, pattern)?;
            match pattern {
                None => run_command(&mut command),
                Some(_) => run_some(suite, &mut command).map(|some| tests += some),
            }
        });
    }
    for (name, pairs) in interop::SUITES.iter().filter(|(name, _)| is_chosen(name)) {
        report.step(&format!("e2e: {name}"), || {
            interop::run(pairs, &tools.programs(), pattern, &mut tests)
        });
    }
    if is_chosen(interop::TLS_SUITE) {
        report.step(&format!("e2e: {}", interop::TLS_SUITE), || {
            interop::run_tls(&tools.programs(), pattern, &mut tests)
        });
    }
    if is_chosen(interop::TRANSPORTS_SUITE) {
        report.step(&format!("e2e: {}", interop::TRANSPORTS_SUITE), || {
            interop::run_transports(&tools.programs(), pattern, &mut tests)
        });
    }
    if let Some(pattern) = pattern {
        report.step("e2e: filter", || check_filter(pattern, tests));
    }
}

/// The names of all suites.
fn suites() -> impl Iterator<Item = &'static str> {
    let pairs = interop::SUITES.iter().map(|(name, _)| *name);
    let own = SUITES.iter().map(|suite| suite.name);
    own.chain(pairs)
        .chain([interop::TLS_SUITE, interop::TRANSPORTS_SUITE])
}

/// A filter that nothing answers to is a typing error, and no success.
fn check_filter(pattern: &str, tests: usize) -> Result<(), String> {
    if tests > 0 {
        return Ok(());
    }
    let suites: Vec<&str> = suites().collect();
    let suites = suites.join(", ");
    Err(format!(
        "no test was run: no suite and no test is named {pattern}; the suites are {suites}"
    ))
}

fn packages() -> Result<Tools, String> {
    Ok(Tools {
        node: install::node_packages()?,
        python: install::python()?,
        pigweed: install::pigweed()?,
    })
}

/// Built as the other tests are, with the features of the whole workspace, so that nothing is compiled twice.
fn build() -> Result<(), String> {
    run_command(
        cargo()
            .args(["build", "--workspace", "--locked"])
            .args(["--bin", "headwater"])
            .args(["--example", "chat", "--example", "chat-upstream"])
            .args(["--example", "interop"])
            .args(["--example", "echo", "--example", "people"])
            .args(["--example", "device"])
            .current_dir(root()),
    )
}

fn command_of(suite: &Suite, tools: &Tools, pattern: Option<&str>) -> Result<Command, String> {
    let folder = root().join("tests/e2e");
    let mut command = match suite.name.split_once('/') {
        Some((language @ ("python" | "pigweed"), name)) => {
            let mut command = Command::new(match language {
                "pigweed" => &tools.pigweed,
                _ => &tools.python,
            });
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
    match suite.tool {
        Tool::None => {}
        Tool::Chromium => {
            command.env("HEADWATER_CHROMIUM", install::chromium()?);
        }
        // The suite finds it by its name.
        Tool::Strace => drop(install::strace()?),
    }
    for (variable, path) in PROGRAMS {
        command.env(variable, program(variable, path));
    }
    command
        .env("HEADWATER_NODE", &tools.node)
        .env("HEADWATER_PYTHON", &tools.python);
    Ok(command)
}

/// Where a program under test is.
fn program(variable: &str, path: &str) -> PathBuf {
    let built = || target().join("debug").join(path);
    std::env::var_os(variable).map_or_else(built, PathBuf::from)
}

/// Runs the tests of a suite that fit the filter, and says how many there were.
fn run_some(suite: &Suite, command: &mut Command) -> Result<usize, String> {
    let failed = |error| format!("{}: {error}", suite.name);
    // Where each of them writes its summary.
    let is_python = !suite.name.starts_with("js/");
    if is_python {
        command.stderr(Stdio::piped());
    } else {
        command.stdout(Stdio::piped());
    }
    let mut child = command.spawn().map_err(failed)?;
    let output: Option<Box<dyn Read>> = if is_python {
        child
            .stderr
            .take()
            .map(|pipe| Box::new(pipe) as Box<dyn Read>)
    } else {
        child
            .stdout
            .take()
            .map(|pipe| Box::new(pipe) as Box<dyn Read>)
    };
    let mut tests = 0;
    for line in output
        .map(BufReader::new)
        .into_iter()
        .flat_map(BufReader::lines)
    {
        let line = line.map_err(failed)?;
        println!("{line}");
        tests += counted(&line);
    }
    let status = child.wait().map_err(failed)?;
    // Without a test, unittest ends with 5 from Python 3.12 on.
    if status.success() || tests == 0 && status.code() == Some(5) {
        return Ok(tests);
    }
    Err(format!("{}: {status}", suite.name))
}

/// How many tests were run, by a line of a summary: `Ran 2 tests in 0.1s`, or `ℹ pass 2` and `ℹ fail 0`.
fn counted(line: &str) -> usize {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["Ran", count, "test" | "tests", ..] | ["ℹ", "pass" | "fail", count] => {
            count.parse().unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{check_filter, counted};

    #[test]
    fn tests_are_counted_by_the_summaries_of_both_runners() {
        let lines = [
            "Ran 1 test in 0.1s",
            "Ran 0 tests in 0.000s",
            "ℹ pass 2",
            "ℹ fail 1",
            "ℹ skipped 9",
            "Ran off",
        ];
        assert_eq!(lines.map(counted), [1, 0, 2, 1, 0, 0]);
    }

    #[test]
    fn a_filter_that_no_test_answers_to_fails_and_names_the_suites() {
        assert_eq!(check_filter("chat", 1), Ok(()));
        let told = check_filter("typo", 0).expect_err("nothing was run");
        assert!(
            told.contains("typo") && told.contains("python/upstream"),
            "{told}"
        );
    }
}
