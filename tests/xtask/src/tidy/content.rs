//! What no file may say, and what no module may be called.

use std::path::{Component, Path};

use crate::workspace::{files, text};

/// Names that say nothing, and so attract everything.
const EMPTY_NAMES: [&str; 7] = [
    "utils", "util", "common", "helpers", "misc", "manager", "managers",
];

/// Folders of one machine: a file that names them works on that machine alone.
const MACHINE_PATHS: [&str; 4] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];

/// Hosts of package registries: whoever builds chooses the registry, in the configuration of the machine.
const REGISTRIES: [&str; 5] = [
    concat!("crates", ".io"),
    concat!("registry.npmjs", ".org"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("debian", ".org"),
];

pub(super) fn check() -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    for file in files()? {
        if let Some(name) = empty_name(&file) {
            problems.push(format!(
                "{}: `{name}` is not a name: say what is in it",
                file.display()
            ));
        }
        // Cargo names its registry there by itself.
        if file == Path::new("Cargo.lock") {
            continue;
        }
        let Some(text) = text(&file)? else { continue };
        for (number, line) in text.lines().enumerate() {
            let place = || format!("{}:{}", file.display(), number + 1);
            problems.extend(
                found(line, &MACHINE_PATHS)
                    .map(|path| format!("{}: the machine's own path {path}", place())),
            );
            problems.extend(
                found(line, &REGISTRIES).map(|host| format!("{}: the registry {host}", place())),
            );
        }
    }
    Ok(problems)
}

fn found<'a>(line: &'a str, words: &'a [&str]) -> impl Iterator<Item = &'a str> {
    words.iter().copied().filter(|word| line.contains(word))
}

fn empty_name(file: &Path) -> Option<&'static str> {
    if file.extension() != Some("rs".as_ref()) {
        return None;
    }
    let stem = file.with_extension("");
    let has = |name: &&str| {
        stem.components()
            .any(|part| part == Component::Normal(name.as_ref()))
    };
    EMPTY_NAMES.iter().find(|name| has(name)).copied()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::empty_name;

    #[test]
    fn a_module_has_a_name_that_says_something() {
        for (file, name) in [
            ("core/src/utils.rs", Some("utils")),
            ("core/src/common/mod.rs", Some("common")),
            ("core/src/hub/groups.rs", None),
            ("proto/src/uncommon.rs", None),
            ("docs/common.md", None),
        ] {
            assert_eq!(empty_name(Path::new(file)), name, "{file}");
        }
    }
}
