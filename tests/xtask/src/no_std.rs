//! Proves that `headwater-proto` and `headwater-core`, with everything they depend on, need no standard library.
//!
//! `#![no_std]` at the root of a crate says nothing about its dependencies, and a host build links `std` for all of them
//! alike. So the two crates are checked against a sysroot that has no `std` to find: links to `core` and `alloc` of the
//! installed toolchain, and nothing else. Whatever asks for `std` fails with E0463 and is named. Build scripts and
//! procedural macros keep the normal sysroot, because the explicit `--target` separates them.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    process::{cargo, output, run},
    workspace::{root, target},
};

const CRATES: [&str; 2] = ["headwater-proto", "headwater-core"];
const LIBRARIES: [&str; 5] = [
    "libcore-",
    "liballoc-",
    "libcompiler_builtins-",
    "librustc_std_workspace_core-",
    "librustc_std_workspace_alloc-",
];

/// Checks each crate by itself: together, they would lend each other features.
pub(crate) fn check() -> Result<(), String> {
    let host = host()?;
    let sysroot = sysroot(&host)?;
    refuses_std(&sysroot, &host)?;
    for package in CRATES {
        run(cargo()
            .args(["check", "--package", package, "--target", &host])
            .arg("--target-dir")
            .arg(target().join("no-std"))
            .env("RUSTFLAGS", format!("--sysroot {}", sysroot.display()))
            .current_dir(root()))?;
        println!("{package} needs no std");
    }
    Ok(())
}

fn host() -> Result<String, String> {
    output(Command::new("rustc").arg("-vV"))?
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "rustc -vV names no host".into())
}

/// Makes the sysroot without `std`.
fn sysroot(host: &str) -> Result<PathBuf, String> {
    let installed = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let libraries = Path::new("lib/rustlib").join(host).join("lib");
    let from = Path::new(installed.trim()).join(&libraries);
    let sysroot = target().join("no-std-sysroot");
    let to = sysroot.join(&libraries);
    let failed = |error| format!("cannot make {}: {error}", sysroot.display());
    // A link of an older toolchain would be found as well.
    if sysroot.exists() {
        fs::remove_dir_all(&sysroot).map_err(failed)?;
    }
    fs::create_dir_all(&to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let wanted = |prefix: &&str| name.to_string_lossy().starts_with(prefix);
        if LIBRARIES.iter().any(wanted) {
            std::os::unix::fs::symlink(entry.path(), to.join(&name)).map_err(failed)?;
        }
    }
    Ok(sysroot)
}

/// The proof of the proof: a crate that uses `std` must fail, and one without must not.
fn refuses_std(sysroot: &Path, host: &str) -> Result<(), String> {
    let compiles = |source: &str| -> Result<bool, String> {
        let failed = |error| format!("cannot run rustc: {error}");
        let mut child = Command::new("rustc")
            .args(["--crate-type=lib", "--emit=metadata", "--target", host])
            .arg("--sysroot")
            .arg(sysroot)
            .arg("-o")
            .arg(sysroot.join("probe.rmeta"))
            .arg("-")
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(source.as_bytes()).map_err(failed)?;
        }
        Ok(child.wait().map_err(failed)?.success())
    };
    if !compiles("#![no_std] extern crate alloc;")? {
        return Err("the sysroot does not even have core and alloc".into());
    }
    if compiles("#![no_std] extern crate std;")? {
        return Err("the sysroot still has std: this check would prove nothing".into());
    }
    Ok(())
}
