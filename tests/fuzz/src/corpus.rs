//! The kept inputs: one file each, bytes in hexadecimal, with comments that say why it is kept.

use std::{fs, path::Path};

/// The inputs of this name, with the names of their files, in the order of the names.
///
/// # Panics
///
/// If there are none, or one is not hexadecimal: a corpus that is not replayed would be worse than none.
pub fn read(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let mut inputs: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of the corpus is there")
        .map(|entry| {
            let path = entry.expect("the folder can be read").path();
            let text = fs::read_to_string(&path).expect("an input is text");
            let file = path.file_name().unwrap_or_default();
            (file.to_string_lossy().into_owned(), parse(&text))
        })
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

/// Two digits a byte; white space, and what follows a `#` on its line, does not count.
fn parse(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().chars())
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("hexadecimal digits") as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "half a byte");
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// `bytes` as a file of the corpus has them.
pub fn format(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
