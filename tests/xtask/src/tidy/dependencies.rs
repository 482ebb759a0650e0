//! Which crate may depend on which: the dependency graph is the architecture (S4-01).

use std::path::Path;

use crate::{
    process::{cargo, output},
    workspace::{root, text},
};

const PROTO: &str = "headwater-proto";
const CORE: &str = "headwater-core";
const RPC: &str = "headwater-rpc";
const TRANSPORTS: &str = "transports/urls";
const SDK: &str = "server/upstream";

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
const EDGES: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("proto/codegen", &[]),
    ("core", &[PROTO]),
    ("transports/rpc", &[PROTO, CORE]),
    ("transports/services", &[RPC, "headwater-codegen"]),
    ("transports/in-process", &[PROTO, CORE, RPC]),
    ("transports/http2", &[PROTO, CORE, RPC]),
    ("transports/http3", &[PROTO, CORE, RPC]),
    ("transports/grpc-web", &[RPC]),
    ("transports/websocket", &[PROTO, CORE, RPC]),
    // The one place that knows them all.
    (
        TRANSPORTS,
        &[
            RPC,
            "headwater-in-process",
            "headwater-http2",
            "headwater-http3",
            "headwater-grpc-web",
            "headwater-websocket",
        ],
    ),
    // The SDK chooses its transport at run time, by URL; it brings options of each.
    (
        SDK,
        &[
            PROTO,
            CORE,
            RPC,
            "headwater-transports",
            "headwater-in-process",
            "headwater-http2",
        ],
    ),
    (
        "server",
        &[
            PROTO,
            CORE,
            RPC,
            "headwater-services",
            "headwater-transports",
            "headwater-in-process",
            "headwater-websocket",
            "headwater-upstream",
        ],
    ),
];

/// Built with the in-process transport alone, these bring no network stack: features only add.
const WITHOUT_NETWORK: [&str; 2] = [TRANSPORTS, SDK];

/// What a network stack cannot do without. `mio` and `socket2` are how tokio opens sockets.
const NETWORK: [&str; 9] = [
    "mio",
    "socket2",
    "h2",
    "hyper",
    "quinn",
    "rustls",
    "tonic",
    "tower",
    "tungstenite",
];

pub(super) fn check() -> Result<Vec<String>, String> {
    let mut problems = trees()?;
    problems.extend(networks()?);
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
        let mut used = tree(Path::new(""), &["--package", package])?;
        used.retain(|name| name != package && !allowed.contains(&name.as_str()));
        problems.extend(used.iter().map(|name| {
            format!("{package}: {name} is in its tree and not on the list of tests/xtask/src/tidy/dependencies.rs")
        }));
    }
    Ok(problems)
}

/// S4-01, U-10: the network that is in a build which is to have none.
fn networks() -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    for folder in WITHOUT_NETWORK {
        let features = ["--no-default-features", "--features", "in-process"];
        let used = tree(Path::new(folder), &features)?;
        if !used.iter().any(|name| name == "headwater-in-process") {
            problems.push(format!(
                "{folder}: the feature in-process does not bring it"
            ));
        }
        problems.extend(network(folder, &used));
    }
    Ok(problems)
}

fn network(folder: &str, used: &[String]) -> Vec<String> {
    let found = used.iter().filter(|name| NETWORK.contains(&name.as_str()));
    let problems = found.map(|name| {
        format!("{folder}: with the feature in-process alone, {name} is in its tree, and that is a network")
    });
    problems.collect()
}

/// The normal dependency tree of a crate, itself included, without procedural macros.
fn tree(folder: &Path, arguments: &[&str]) -> Result<Vec<String>, String> {
    let tree = output(
        cargo()
            .args(["tree", "--edges", "normal,no-proc-macro"])
            .args(["--prefix", "none", "--format", "{p}"])
            .args(arguments)
            .current_dir(root().join(folder)),
    )?;
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
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
    use super::{network, own};

    #[test]
    fn a_network_in_a_build_that_is_to_have_none_is_named() {
        let used = ["tokio".to_owned(), "mio".to_owned()];
        assert!(
            network("x", &used[..1]).is_empty(),
            "tokio alone opens nothing"
        );
        let problems = network("x", &used);
        assert!(
            problems.len() == 1 && problems[0].contains("mio"),
            "{problems:?}"
        );
    }

    #[test]
    fn only_what_a_crate_is_built_with_counts() {
        let manifest = "[package]\nname = \"headwater-x\"\n[dependencies]\nbytes = \"1\"\nheadwater-core.workspace = true\n\
            [dev-dependencies]\nheadwater-conformance.workspace = true\n\
            [target.'cfg(unix)'.dependencies]\nheadwater-rpc = { workspace = true }\n";
        assert_eq!(own(manifest), ["headwater-core", "headwater-rpc"]);
    }
}
