//! Running programs, and telling how it went.

use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

/// The steps of a run: each is announced, timed, and listed at the end. A failed one does not stop the others.
#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<(String, Duration, Result<(), String>)>,
    notices: Vec<String>,
}

impl Report {
    /// Runs one step.
    pub(crate) fn step(&mut self, name: &str, run: impl FnOnce() -> Result<(), String>) {
        println!("\n==> {name}");
        let start = Instant::now();
        let outcome = run();
        if let Err(reason) = &outcome {
            eprintln!("\n{name}: {reason}");
        }
        self.steps.push((name.into(), start.elapsed(), outcome));
    }

    /// Something that whoever reads the summary must not miss.
    pub(crate) fn notice(&mut self, text: impl Into<String>) {
        self.notices.push(text.into());
    }

    /// Prints the summary; the exit code fails if any step did.
    pub(crate) fn finish(self) -> ExitCode {
        if self.steps.is_empty() {
            return ExitCode::SUCCESS;
        }
        println!("\n==> summary");
        for (name, time, outcome) in &self.steps {
            let word = if outcome.is_ok() { "ok    " } else { "FAILED" };
            println!("{word} {:>7.1} s  {name}", time.as_secs_f64());
        }
        for (name, _, outcome) in &self.steps {
            if let Err(reason) = outcome {
                println!("\n{name}: {reason}");
            }
        }
        for notice in &self.notices {
            println!("\n!!!! {notice}");
        }
        ExitCode::from(u8::from(
            self.steps.iter().any(|(_, _, outcome)| outcome.is_err()),
        ))
    }
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command with its output shown.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command
        .status()
        .map_err(|error| format!("cannot start {}: {error}", name(command)))?;
    if !status.success() {
        return Err(format!("{} ended with {status}", line(command)));
    }
    Ok(())
}

/// Runs a command and gives its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", name(command)))?;
    if !output.status.success() {
        return Err(format!("{} ended with {}", line(command), output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{} prints no UTF-8", name(command)))
}

/// Whether a program can be started: it answers to `--version`.
pub(crate) fn exists(program: impl AsRef<Path>) -> bool {
    Command::new(program.as_ref())
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn line(command: &Command) -> String {
    let arguments = command.get_args().map(|text| text.to_string_lossy());
    [command.get_program().to_string_lossy()]
        .into_iter()
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}
