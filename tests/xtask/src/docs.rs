//! The documentation builds without a warning, and its links lead somewhere.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
    process::Command,
};

use crate::{
    install,
    process::{Report, cargo, run as run_command},
    workspace::{files, root, target, text},
};

pub(crate) fn run(report: &mut Report) {
    report.step("docs: API", api);
    report.step("docs: links", links);
    report.step("docs: book", book);
}

fn api() -> Result<(), String> {
    run_command(
        cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "--deny warnings")
            .current_dir(root()),
    )
}

fn book() -> Result<(), String> {
    run_command(
        Command::new(install::mdbook()?)
            .arg("build")
            .arg("--dest-dir")
            .arg(target().join("book"))
            .arg(root().join("docs")),
    )
}

/// Every relative link of every page leads to a file, and every page of the book is in its summary.
fn links() -> Result<(), String> {
    let summary = Path::new("docs/src/SUMMARY.md");
    let mut problems = Vec::new();
    let mut in_summary = BTreeSet::new();
    let mut pages = Vec::new();
    for file in files()? {
        if file.extension() != Some("md".as_ref()) {
            continue;
        }
        let page = text(&file)?.unwrap_or_default();
        for link in relative_links(&page) {
            let to = resolve(&file, &link);
            if !root().join(&to).exists() {
                problems.push(format!("{}: {link} leads nowhere", file.display()));
            }
            if file == summary {
                in_summary.insert(to);
            }
        }
        if file.starts_with("docs/src") && file != summary {
            pages.push(file);
        }
    }
    let forgotten = pages.iter().filter(|page| !in_summary.contains(*page));
    problems.extend(forgotten.map(|page| format!("{}: not in SUMMARY.md", page.display())));
    if problems.is_empty() {
        return Ok(());
    }
    Err(problems.join("\n  "))
}

/// The targets of `[text](target)` outside of code, without anchors, and without those that lead to other sites.
fn relative_links(page: &str) -> Vec<String> {
    let mut in_code = false;
    let prose = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    });
    let targets = prose.flat_map(|line| line.split("](").skip(1));
    targets
        .filter_map(|rest| rest.split([')', '#', ' ']).next())
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
        .map(str::to_owned)
        .collect()
}

fn resolve(page: &Path, link: &str) -> PathBuf {
    let mut to = page.parent().unwrap_or(Path::new("")).to_path_buf();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => drop(to.pop()),
            Component::Normal(name) => to.push(name),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{relative_links, resolve};

    #[test]
    fn links_to_files_are_found_and_resolved() {
        let page = "[a](../README.md#top) and [b](x.md), [c](#here)\n```\n[d](code.md)\n```\n[e](scheme://elsewhere)";
        assert_eq!(relative_links(page), ["../README.md", "x.md"]);
        assert_eq!(
            resolve(Path::new("docs/src/a.md"), "../../README.md"),
            Path::new("README.md")
        );
    }
}
