//! Every row of the feature list that is built has a test that names it, and no test names a row that is not there.

use std::collections::BTreeSet;

use crate::workspace::{files, text};

/// The kinds of files that tests are written in.
const KINDS: [&str; 3] = ["rs", "mjs", "py"];

/// `tests/tidy/rows.txt` has one row a line; `built` behind it demands a test.
pub(super) fn check() -> Result<Vec<String>, String> {
    let list = super::list("rows.txt")?;
    let mut known = BTreeSet::new();
    let mut built = BTreeSet::new();
    for line in &list {
        let (row, state) = line.split_once(' ').unwrap_or((line, ""));
        known.insert(row.to_owned());
        match state {
            "" => {}
            "built" => drop(built.insert(row.to_owned())),
            _ => return Err(format!("rows.txt: not a row, or a row and `built`: {line}")),
        }
    }
    let families: BTreeSet<&str> = known
        .iter()
        .filter_map(|row| row.split('-').next())
        .collect();

    let mut problems = Vec::new();
    let mut tested = BTreeSet::new();
    for file in files()? {
        if !KINDS
            .iter()
            .any(|kind| file.extension() == Some(kind.as_ref()))
        {
            continue;
        }
        // The tests of this very check name rows that prove nothing.
        if file.starts_with("tests/xtask") {
            continue;
        }
        let text = text(&file)?.unwrap_or_default();
        for row in mentioned(&text, &families) {
            if !known.contains(&row) {
                problems.push(format!("{}: there is no row {row}", file.display()));
            }
        }
        for words in about_tests(&text) {
            tested.extend(mentioned(words, &families));
        }
    }
    let missing = built.difference(&tested);
    problems.extend(missing.map(|row| format!("{row}: no test names this row")));
    Ok(problems)
}

/// The names of the tests in a file, and the comments directly above them. What stands elsewhere tests nothing.
fn about_tests(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut above = Vec::new();
    // Whether an attribute above makes a test of the next function, and whether it goes on in the next line.
    let (mut marked, mut in_attribute) = (false, false);
    for line in text.lines().map(str::trim) {
        if in_attribute || line.starts_with("#[") {
            marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            in_attribute = !line.ends_with(']');
        } else if !line.starts_with("//!")
            && ["//", "#", "@"].iter().any(|start| line.starts_with(start))
        {
            above.push(line);
        } else {
            if let Some(name) = name_of_test(line, marked) {
                words.append(&mut above);
                words.push(name);
            }
            above.clear();
            marked = false;
        }
    }
    words
}

/// The name of the test that begins in this line: a marked `fn`, a `def test_…`, or the title of a `test(…)`.
fn name_of_test(line: &str, marked: bool) -> Option<&str> {
    if let Some(title) = line.strip_prefix("test(") {
        let quote = title.chars().next()?;
        return title[quote.len_utf8()..].split(quote).next();
    }
    let mut names = line.split("fn ").skip(1).filter(|_| marked);
    let python = line
        .strip_prefix("async ")
        .unwrap_or(line)
        .strip_prefix("def ");
    let python = python.filter(|name| name.starts_with("test_"));
    names.next().or(python)?.split(['(', '<']).next()
}

/// The rows in a text, written `S1-05` in prose or `s1_05` in the name of a function.
fn mentioned(text: &str, families: &BTreeSet<&str>) -> BTreeSet<String> {
    let words =
        text.split(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '-' | '_')));
    words.flat_map(|word| in_word(word, families)).collect()
}

/// A name may hold several: `s4_71_to_s4_73`.
fn in_word(word: &str, families: &BTreeSet<&str>) -> Vec<String> {
    let parts: Vec<&str> = word.split(['-', '_']).collect();
    let rows = parts.windows(2).filter_map(|pair| {
        let family = pair[0].to_ascii_uppercase();
        let is_row = pair[1].len() == 2 && pair[1].bytes().all(|byte| byte.is_ascii_digit());
        // `F` and `U` alone are too short to be meant in an identifier: `u_16` is a type there.
        let is_meant = family.len() == 2 || (pair[0] == family && word.contains('-'));
        (is_row && is_meant && families.contains(family.as_str()))
            .then(|| format!("{family}-{}", pair[1]))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{about_tests, mentioned};

    #[test]
    fn rows_are_found_in_prose_and_in_names() {
        let families = BTreeSet::from(["S1", "S4", "U"]);
        let rows = |text| mentioned(text, &families).into_iter().collect::<Vec<_>>();
        assert_eq!(rows("fn s4_08_a_second_metadata_is_rejected()"), ["S4-08"]);
        assert_eq!(
            rows("/// S1-05, S1-06: the ack (U-02)"),
            ["S1-05", "S1-06", "U-02"]
        );
        assert_eq!(rows("s4_71_and_s4_72_hold"), ["S4-71", "S4-72"]);
        assert_eq!(rows("test_s1_20_in_reverse"), ["S1-20"]);
        assert!(rows("read_u_16 S1-5 s9_01 sha1_12 u_02").is_empty());
    }

    #[test]
    fn only_tests_and_the_comments_directly_above_them_count() {
        let rust = "//! S1-01\n/// S1-02\n#[tokio::test(\n    start_paused = true\n)]\nasync fn s1_03_x() {\n    // S1-04\n}\n\
            /// S1-05\nfn s1_06_helper() {}\n// S1-07\n\n#[test]\nfn s1_08_y() { s1_09(); }\n";
        assert_eq!(about_tests(rust), ["/// S1-02", "s1_03_x", "s1_08_y"]);
        let python = "\"\"\"S1-01\"\"\"\n# S1-02\ndef test_s1_03_x(self):\n    # S1-04\n    pass\ndef helper_s1_05():\n";
        assert_eq!(about_tests(python), ["# S1-02", "test_s1_03_x"]);
        let js = "// S1-01\nimport x;\n  test(\"S1-02 it\", async () => {\n  const t = \"S1-03\";\n  test.skip(\"S1-04\");\n";
        assert_eq!(about_tests(js), ["S1-02 it"]);
    }
}
