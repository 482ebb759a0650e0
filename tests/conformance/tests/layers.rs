//! S4-01: three layers, and nothing of a lower one in a higher one's dependencies.

use std::{collections::BTreeSet, process::Command};

/// The names of the crates that `package` is built with.
fn dependencies(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}", "--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs this test, so it is there");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree failed: {errors}");
    let text = String::from_utf8(output.stdout).expect("names are UTF-8");
    let name = |line: &str| line.split(' ').next().map(str::to_owned);
    text.lines().filter_map(name).collect()
}

/// S4-01: the core, which holds the call layer's rules, has no IO, no runtime, no clock and no randomness in its tree.
#[test]
fn s4_01_the_core_has_no_io_in_its_tree() {
    let io = [
        "async-trait",
        "getrandom",
        "h2",
        "http",
        "http-body",
        "hyper",
        "libc",
        "mio",
        "rand",
        "socket2",
        "tokio",
        "tonic",
        "tower",
    ];
    for package in ["headwater-core", "headwater-proto"] {
        let found = dependencies(package);
        assert!(
            found.contains(package),
            "{package} is in its own tree: {found:?}"
        );
        let wrong: Vec<_> = io.iter().filter(|name| found.contains(**name)).collect();
        assert!(wrong.is_empty(), "{package} depends on {wrong:?}");
    }
}

/// S4-01: the driver knows no transport's stack, and no transport knows another.
#[test]
fn s4_01_the_driver_and_the_transports_know_only_what_is_below() {
    let transports = [
        "headwater-in-process",
        "headwater-http2",
        "headwater-websocket",
    ];
    let driver = dependencies("headwater-rpc");
    for name in transports
        .into_iter()
        .chain(["hyper", "h2", "http", "tonic"])
    {
        assert!(!driver.contains(name), "headwater-rpc depends on {name}");
    }
    for one in transports {
        let found = dependencies(one);
        for other in transports.into_iter().filter(|other| *other != one) {
            assert!(!found.contains(other), "{one} depends on {other}");
        }
    }
}

/// S4-39: calls within one process bring no network along.
#[test]
fn s4_39_the_in_process_transport_has_no_network_in_its_tree() {
    let found = dependencies("headwater-in-process");
    assert!(
        found.contains("headwater-rpc"),
        "it has the driver: {found:?}"
    );
    let network = [
        "h2",
        "http",
        "http-body",
        "hyper",
        "hyper-util",
        "libc",
        "mio",
        "rustls",
        "socket2",
        "tokio-rustls",
        "tungstenite",
    ];
    let wrong: Vec<_> = network
        .iter()
        .filter(|name| found.contains(**name))
        .collect();
    assert!(
        wrong.is_empty(),
        "headwater-in-process depends on {wrong:?}"
    );
}

/// S4-39: the machines, and calls within one process, build where there is no network and no operating system.
#[test]
fn s4_39_the_core_and_the_in_process_transport_build_for_wasm32() {
    let wasm = "wasm32-unknown-unknown";
    // The target belongs to the toolchain; where it is installed, this does nothing.
    let added = Command::new("rustup")
        .args(["target", "add", wasm])
        .output();
    let added = added.expect("rustup is there, for the toolchain file asks for it");
    let errors = String::from_utf8_lossy(&added.stderr);
    assert!(added.status.success(), "no {wasm}: {errors}");
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let checked = Command::new(env!("CARGO"))
        .args(["check", "--target", wasm, "--target-dir", "target/no-std"])
        .args(["--package", "headwater-core"])
        .args(["--package", "headwater-in-process"])
        .current_dir(workspace)
        .output()
        .expect("cargo runs this test, so it is there");
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "it does not build: {errors}");
}
