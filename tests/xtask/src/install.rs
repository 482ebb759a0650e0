//! What the tests from outside need, installed where it is missing. Nothing is put outside of `target/`, except for
//! Chromium, which only the system's package manager has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    process::{cargo, exists, output, run},
    workspace::{root, target},
};

/// The oldest Node, by major and minor number, that the packages of `tests/e2e/js` run on.
const NODE_MIN: (u32, u32) = (20, 14);
/// What renders the book where there is none on the search path.
const MDBOOK: &str = "0.5.4";

/// An mdbook, from the search path, or compiled into `target/` once.
pub(crate) fn mdbook() -> Result<PathBuf, String> {
    if let Some(found) = on_path("mdbook") {
        return Ok(found);
    }
    let place = target().join("mdbook");
    let mdbook = place.join("bin/mdbook");
    let is_it = |version: String| version.trim() == format!("mdbook v{MDBOOK}");
    if mdbook.is_file() && output(Command::new(&mdbook).arg("--version")).is_ok_and(is_it) {
        return Ok(mdbook);
    }
    println!("compiling mdbook {MDBOOK}: a few minutes, once");
    // Without the search and the web server that nobody uses here; its build folder is a temporary one.
    run(cargo()
        .args(["install", "mdbook", "--locked", "--no-default-features"])
        .args(["--version", MDBOOK, "--quiet", "--root"])
        .arg(&place)
        .env_remove("CARGO_TARGET_DIR"))?;
    Ok(mdbook)
}

/// The folder whose `node_modules` holds the packages of `tests/e2e/js`.
pub(crate) fn node_packages() -> Result<PathBuf, String> {
    let place = target().join("node");
    for tool in ["node", "npm"] {
        if !exists(tool) {
            return Err(missing(tool, "apt-get install nodejs npm"));
        }
    }
    let version = output(Command::new("node").arg("--version"))?;
    if node_version(&version).is_none_or(|version| version < NODE_MIN) {
        let (major, minor) = NODE_MIN;
        let version = version.trim();
        return Err(format!(
            "node is {version}, and {major}.{minor} or newer is needed; install it with: sudo npx --yes n {major}"
        ));
    }
    let sources = root().join("tests/e2e/js");
    let lock = sources.join("package-lock.json");
    if is_current(&place, &lock) {
        return Ok(place);
    }
    create(&place)?;
    for name in ["package.json", "package-lock.json"] {
        copy(&sources.join(name), &place.join(name))?;
    }
    // The client declares a newer Node than it needs: npm warns, and that is all.
    run(Command::new("npm")
        .args(["ci", "--ignore-scripts"])
        .args(["--no-audit", "--no-fund"])
        .current_dir(&place))?;
    mark(&place, &lock)?;
    Ok(place)
}

/// Major and minor of what `node --version` prints.
fn node_version(printed: &str) -> Option<(u32, u32)> {
    let mut numbers = printed.trim().strip_prefix('v')?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The Python of a virtual environment with the packages of `tests/e2e/python`.
pub(crate) fn python() -> Result<PathBuf, String> {
    virtual_environment("python", "requirements.txt", &[])
}

/// The Python of a virtual environment with Pigweed's packages, which need an older protobuf than the others.
pub(crate) fn pigweed() -> Result<PathBuf, String> {
    // Most of what they name is for building firmware; all that a client imports is in the list.
    virtual_environment("python-pigweed", "requirements-pigweed.txt", &["--no-deps"])
}

fn virtual_environment(name: &str, list: &str, options: &[&str]) -> Result<PathBuf, String> {
    let place = target().join(name);
    let python = place.join("bin/python");
    if !exists("python3") {
        return Err(missing(
            "python3",
            "apt-get install python3 python3-venv python3-pip",
        ));
    }
    let requirements = root().join("tests/e2e/python").join(list);
    if is_current(&place, &requirements) && exists(&python) {
        return Ok(python);
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&place))
    .map_err(|error| format!("{error}; try: apt-get install python3-venv"))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet"])
        .args(options)
        .args(["--disable-pip-version-check", "--requirement"])
        .arg(&requirements))?;
    mark(&place, &requirements)?;
    Ok(python)
}

/// A Chromium, from `HEADWATER_CHROMIUM`, the search path, or apt.
pub(crate) fn chromium() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("HEADWATER_CHROMIUM") {
        let named = PathBuf::from(named);
        let found = named.is_file().then(|| named.clone());
        return found.ok_or_else(|| format!("HEADWATER_CHROMIUM: there is no {}", named.display()));
    }
    debian("chromium")
}

/// What says which system calls a program makes, from the search path, or apt.
pub(crate) fn strace() -> Result<PathBuf, String> {
    debian("strace")
}

/// A program from the search path, or from the Debian package of its name.
fn debian(program: &str) -> Result<PathBuf, String> {
    if let Some(found) = on_path(program) {
        return Ok(found);
    }
    let install = ["apt-get", "install", "--yes", "--no-install-recommends"];
    let Some(prefix) = administrator().filter(|_| exists("apt-get")) else {
        let by_hand = format!("sudo {} {program}", install.join(" "));
        return Err(missing(program, &by_hand));
    };
    let as_administrator = |arguments: &[&str]| {
        let all: Vec<&str> = prefix.iter().chain(arguments).copied().collect();
        run(Command::new(all[0])
            .args(&all[1..])
            .env("DEBIAN_FRONTEND", "noninteractive"))
    };
    as_administrator(&["apt-get", "update", "--quiet"])?;
    as_administrator(&[&install[..], &[program]].concat())?;
    on_path(program).ok_or_else(|| format!("apt installed {program}, and it is not there"))
}

/// How to become the administrator without a question: not at all, by sudo, or `None`.
fn administrator() -> Option<&'static [&'static str]> {
    let quiet = |command: &mut Command| {
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        output.status.success().then_some(output.stdout)
    };
    if quiet(Command::new("id").arg("-u"))?.starts_with(b"0\n") {
        return Some(&[]);
    }
    quiet(Command::new("sudo").args(["-n", "true"])).map(|_| &["sudo", "-n"][..])
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn missing(tool: &str, command: &str) -> String {
    format!("{tool} is missing; install it with: {command}")
}

/// Whether `place` was filled from `lock` as it is now.
fn is_current(place: &Path, lock: &Path) -> bool {
    matches!((fs::read(stamp(place)), fs::read(lock)), (Ok(then), Ok(now)) if then == now)
}

fn mark(place: &Path, lock: &Path) -> Result<(), String> {
    copy(lock, &stamp(place))
}

fn stamp(place: &Path) -> PathBuf {
    place.join(".installed")
}

fn create(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to)
        .map(drop)
        .map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::{NODE_MIN, node_version};

    #[test]
    fn versions_of_node_compare_as_numbers() {
        assert_eq!(node_version("v20.14.0\n"), Some(NODE_MIN));
        assert!(node_version("v20.9.1\n") < Some(NODE_MIN));
        assert!(node_version("v22.2.0\n") > Some(NODE_MIN));
        assert_eq!(node_version("20"), None);
    }
}
