//! No file grows past the point where a reader can hold it in mind.

use std::collections::BTreeMap;

use crate::workspace::{files, text};

const LINES_MAX: usize = 600;
const KINDS: [&str; 6] = ["rs", "py", "mjs", "html", "proto", "md"];

/// Files over the limit, unless `tests/tidy/long-files.txt` lists them with their size; a listed size may only shrink.
pub(super) fn check() -> Result<Vec<String>, String> {
    let mut listed = BTreeMap::new();
    for line in super::list("long-files.txt")? {
        let (path, lines) = line
            .split_once(char::is_whitespace)
            .and_then(|(path, lines)| Some((path.to_owned(), lines.trim().parse().ok()?)))
            .ok_or_else(|| format!("long-files.txt: not a path and a number: {line}"))?;
        listed.insert(path, lines);
    }
    let mut problems = Vec::new();
    for file in files()? {
        if !KINDS
            .iter()
            .any(|kind| file.extension() == Some(kind.as_ref()))
        {
            continue;
        }
        let lines = text(&file)?.map_or(0, |text| text.lines().count());
        let name = file.display().to_string();
        problems.extend(problem(&name, lines, listed.remove(&name)));
    }
    problems.extend(
        listed
            .into_keys()
            .map(|path| format!("{path}: long-files.txt lists it, and it is gone: strike it")),
    );
    Ok(problems)
}

fn problem(name: &str, lines: usize, listed: Option<usize>) -> Option<String> {
    match listed {
        None if lines > LINES_MAX => Some(format!("{name}: {lines} lines, of at most {LINES_MAX}")),
        Some(then) if lines > then => Some(format!(
            "{name}: {lines} lines; it may only shrink from {then}"
        )),
        Some(_) if lines <= LINES_MAX => Some(format!(
            "{name}: short enough now: strike it from long-files.txt"
        )),
        Some(then) if lines < then => Some(format!(
            "{name}: down to {lines} lines: lower its number {then}"
        )),
        None | Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn a_file_may_be_long_only_as_listed_and_only_shrink() {
        for (lines, listed, has_problem) in [
            (600, None, false),
            (601, None, true),
            (700, Some(700), false),
            (701, Some(700), true),
            (699, Some(700), true),
            (600, Some(700), true),
        ] {
            let problem = problem("file", lines, listed);
            assert_eq!(
                problem.is_some(),
                has_problem,
                "{lines} {listed:?} {problem:?}"
            );
        }
    }
}
