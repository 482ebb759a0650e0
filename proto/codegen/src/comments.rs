//! From the comments of a `.proto` to documentation.

use prost_build::Comments;

/// Appends the comments as lines of documentation, or `otherwise` where there are none.
pub(crate) fn document(comments: &Comments, otherwise: &str, buf: &mut String) {
    let mut lines: Vec<&str> = Vec::new();
    lines.extend(comments.leading.iter().map(String::as_str));
    if !comments.leading.is_empty() && !comments.trailing.is_empty() {
        lines.push("");
    }
    lines.extend(comments.trailing.iter().map(String::as_str));
    if lines.iter().all(|line| line.trim().is_empty()) {
        lines = vec![otherwise];
    }
    let mut fenced = false;
    for line in lines {
        buf.push_str("///");
        let line = plain(line, &mut fenced);
        if !line.is_empty() {
            buf.push(' ');
            buf.push_str(&line);
        }
        buf.push('\n');
    }
}

/// A line that rustdoc reads as the text that it is: what looks like code is not compiled, what is in brackets is no
/// link, and what is in angle brackets is no HTML.
fn plain(line: &str, fenced: &mut bool) -> String {
    let line = line.trim_end();
    if let Some(language) = line.trim_start().strip_prefix("```") {
        let opens = !*fenced;
        *fenced = opens;
        let is_bare = opens && language.is_empty();
        return if is_bare {
            "```text"
        } else {
            line.trim_start()
        }
        .to_owned();
    }
    if *fenced {
        return line.strip_prefix(' ').unwrap_or(line).to_owned();
    }
    let text = line.trim_start();
    // Four spaces would make a block of code of it.
    let indent = (line.len() - text.len()).saturating_sub(1).min(3);
    let mut plain = " ".repeat(indent);
    let mut quoted = false;
    for char in text.chars() {
        quoted ^= char == '`';
        if !quoted && matches!(char, '[' | ']' | '<' | '>') {
            plain.push('\\');
        }
        plain.push(char);
    }
    plain
}

#[cfg(test)]
mod tests {
    use prost_build::Comments;

    use super::document;

    #[test]
    fn comments_are_text_and_never_code_that_runs() {
        let comments = Comments {
            leading: [
                " A [point] of a Vec<u8>, see `a[0]`.",
                "",
                "     let not = code;",
                " ```",
                " x = [1]",
                " ```",
            ]
            .map(str::to_owned)
            .to_vec(),
            trailing: vec![" Behind.".to_owned()],
            leading_detached: vec![vec![" Elsewhere.".to_owned()]],
        };
        let mut buf = String::new();
        document(&comments, "unused", &mut buf);
        assert_eq!(
            buf,
            "/// A \\[point\\] of a Vec\\<u8\\>, see `a[0]`.\n///\n///    let not = code;\n/// ```text\n/// x = [1]\n/// ```\n///\n/// Behind.\n"
        );
    }

    #[test]
    fn what_has_no_comment_is_documented_all_the_same() {
        let mut buf = String::new();
        document(&Comments::default(), "`a.B/C`.", &mut buf);
        assert_eq!(buf, "/// `a.B/C`.\n");
    }
}
