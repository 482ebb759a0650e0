//! The file descriptors of each service, as reflection gives them out.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// The name of the file that holds a service's descriptors.
pub(crate) fn file_name(service: &str) -> String {
    format!("{service}.fds")
}

/// For each service the file's name, and the set of its `.proto` and of all that this imports, without comments.
pub(crate) fn of_services(files: &FileDescriptorSet) -> Vec<(String, Vec<u8>)> {
    let mut sets = Vec::new();
    for file in files.file.iter().filter(|file| !file.service.is_empty()) {
        let set = with_imports(files, file).encode_to_vec();
        for service in &file.service {
            let name = full_name(file.package(), service.name());
            sets.push((file_name(&name), set.clone()));
        }
    }
    sets
}

/// `package.Name`, or the name alone where there is no package.
pub(crate) fn full_name(package: &str, name: &str) -> String {
    if package.is_empty() {
        return name.to_owned();
    }
    format!("{package}.{name}")
}

fn with_imports(files: &FileDescriptorSet, file: &FileDescriptorProto) -> FileDescriptorSet {
    let mut wanted = BTreeSet::from([file.name()]);
    // Each file comes after what it imports, so one pass from behind finds all.
    for file in files.file.iter().rev() {
        if wanted.contains(file.name()) {
            wanted.extend(file.dependency.iter().map(String::as_str));
        }
    }
    let wanted = files
        .file
        .iter()
        .filter(|file| wanted.contains(file.name()));
    let file = wanted.cloned().map(|file| FileDescriptorProto {
        source_code_info: None,
        ..file
    });
    FileDescriptorSet {
        file: file.collect(),
    }
}
