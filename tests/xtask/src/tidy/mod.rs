//! House rules that a program can check. Each problem is one line that says what to do.

mod content;
mod dependencies;
mod rows;
mod sizes;

/// All rules; fails with every problem at once.
pub(crate) fn check() -> Result<(), String> {
    let mut problems = Vec::new();
    problems.extend(sizes::check()?);
    problems.extend(dependencies::check()?);
    problems.extend(content::check()?);
    problems.extend(rows::check()?);
    if problems.is_empty() {
        println!("tidy");
        return Ok(());
    }
    let count = problems.len();
    Err(format!("{count} problems\n  {}", problems.join("\n  ")))
}

/// The lines of a list in `tests/tidy`, without comments and blank lines.
fn list(name: &str) -> Result<Vec<String>, String> {
    let file = std::path::Path::new("tests/tidy").join(name);
    let text = crate::workspace::text(&file)?.ok_or_else(|| format!("{name} is not UTF-8"))?;
    let lines = text.lines().map(|line| {
        let end = line.find('#').unwrap_or(line.len());
        line[..end].trim().to_owned()
    });
    Ok(lines.filter(|line| !line.is_empty()).collect())
}
