//! Where things are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::output;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Where cargo builds, and where packages for tests are installed.
pub(crate) fn target() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root().join(named.unwrap_or_else(|| "target".into()))
}

/// Every tracked file, and every new one that is not ignored, relative to the root.
pub(crate) fn files() -> Result<Vec<PathBuf>, String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listed = output(git.current_dir(root()))?;
    let mut files: Vec<PathBuf> = listed.lines().map(PathBuf::from).collect();
    files.retain(|file| root().join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

/// The text of a file; `None` if it is not UTF-8.
pub(crate) fn text(file: &Path) -> Result<Option<String>, String> {
    let bytes =
        fs::read(root().join(file)).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(String::from_utf8(bytes).ok())
}
