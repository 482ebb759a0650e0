//! Which crate may depend on which: the dependency graph is the architecture (S4-01).

use std::path::Path;

use crate::{
    process::{cargo, output},
    workspace::{root, text},
};

const PROTO: &str = "headwater-proto";
const CORE: &str = "headwater-core";
const RPC: &str = "headwater-rpc";

/// The whole normal dependency tree of the crates without IO: everything in it works without `std`, and none of it
/// waits, reads a clock, draws a random number or opens a socket.
const PURE: [(&str, &[&str]); 2] = [
    (
        PROTO,
        &[
            "base64",
            "bytes",
            "itoa",
            "memchr",
            "prost",
            "serde",
            "serde_core",
            "serde_json",
            "thiserror",
            "zmij",
        ],
    ),
    (
        CORE,
        &[
            PROTO,
            "equivalent",
            "foldhash",
            "hashbrown",
            "indexmap",
            "slab",
            "smallvec",
        ],
    ),
];

/// What a crate may use of the others. The service (`headwater`) may use all; tests and examples are not listed.
const EDGES: [(&str, &[&str]); 11] = [
    ("proto", &[]),
    ("proto/codegen", &[]),
    ("core", &[PROTO]),
    ("transports/rpc", &[PROTO, CORE]),
    ("transports/services", &[RPC, "headwater-codegen"]),
    ("transports/in-process", &[PROTO, CORE, RPC]),
    ("transports/http2", &[PROTO, CORE, RPC]),
    ("transports/http3", &[PROTO, CORE, RPC]),
    ("transports/websocket", &[PROTO, CORE, RPC]),
    // The SDK chooses its transport at run time, by URL.
    (
        "server/upstream",
        &[
            PROTO,
            CORE,
            RPC,
            "headwater-in-process",
            "headwater-http2",
            "headwater-websocket",
        ],
    ),
    (
        "server",
        &[
            PROTO,
            CORE,
            RPC,
            "headwater-in-process",
            "headwater-http2",
            "headwater-websocket",
            "headwater-upstream",
        ],
    ),
];

pub(super) fn check() -> Result<Vec<String>, String> {
    let mut problems = trees()?;
    for (folder, allowed) in EDGES {
        let manifest = Path::new(folder).join("Cargo.toml");
        let manifest = text(&manifest)?.ok_or("a manifest is not UTF-8")?;
        for used in own(&manifest) {
            if !allowed.contains(&used.as_str()) {
                problems.push(format!("{folder}: it may not depend on {used}"));
            }
        }
    }
    Ok(problems)
}

fn trees() -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    let mut allowed: Vec<&str> = Vec::new();
    for (package, more) in PURE {
        allowed.extend(more);
        let tree = output(
            cargo()
                .args([
                    "tree",
                    "--package",
                    package,
                    "--edges",
                    "normal,no-proc-macro",
                ])
                .args(["--prefix", "none", "--format", "{p}"])
                .current_dir(root()),
        )?;
        let mut used: Vec<&str> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        used.sort_unstable();
        used.dedup();
        used.retain(|name| *name != package && !allowed.contains(name));
        problems.extend(used.iter().map(|name| {
            format!("{package}: {name} is in its tree and not on the list of tests/xtask/src/tidy/dependencies.rs")
        }));
    }
    Ok(problems)
}

/// The crates of this workspace that a manifest names among its normal and build dependencies.
fn own(manifest: &str) -> Vec<String> {
    let mut counts = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            counts = table.ends_with("dependencies") && !table.ends_with("dev-dependencies");
            continue;
        }
        let name: String = line
            .chars()
            .take_while(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_'))
            .collect();
        if counts && name.starts_with("headwater") {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn only_what_a_crate_is_built_with_counts() {
        let manifest = "[package]\nname = \"headwater-x\"\n[dependencies]\nbytes = \"1\"\nheadwater-core.workspace = true\n\
            [dev-dependencies]\nheadwater-conformance.workspace = true\n\
            [target.'cfg(unix)'.dependencies]\nheadwater-rpc = { workspace = true }\n";
        assert_eq!(own(manifest), ["headwater-core", "headwater-rpc"]);
    }
}
