//! Which names things have in Rust, and which they cannot have.

use std::collections::BTreeMap;

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_types::{FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto};

use crate::{
    descriptors::full_name,
    error::{Error, NameClash},
    generate::Settings,
};

/// Keywords of Rust, in all editions, and those that are kept for later.
const KEYWORDS: [&str; 53] = [
    "Self", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue",
    "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if",
    "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub",
    "ref", "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield", "_",
];

/// What a method cannot be called, and why.
const RESERVED: [(&str, &str); 4] = [
    (
        "client",
        "the generated client's access to the client below",
    ),
    ("clone", "the generated client's copy"),
    ("new", "the generated client's constructor"),
    ("service", "what generated code calls the service"),
];

/// What stands behind a method's name at the tiers and depths above the simple one.
pub(crate) const SUFFIXES: [&str; 3] = ["", "_with", "_streaming"];

/// The names of services and methods in Rust.
pub(crate) struct Names {
    renamed: BTreeMap<String, String>,
    /// What stands behind a service's name for each type that is generated for it.
    types: Vec<&'static str>,
}

impl Names {
    pub(crate) fn new(renamed: BTreeMap<String, String>, settings: &Settings) -> Self {
        let mut types = Vec::new();
        if settings.client {
            types.push("Client");
        }
        if settings.server {
            types.extend(["", "Server"]);
        }
        Self { renamed, types }
    }

    /// The trait of a service.
    pub(crate) fn service(&self, full: &str, proto: &str) -> String {
        let renamed = self.renamed.get(full);
        renamed
            .cloned()
            .unwrap_or_else(|| proto.to_upper_camel_case())
    }

    /// The simplest function of a method.
    pub(crate) fn method(&self, service: &str, proto: &str) -> String {
        let renamed = self.renamed.get(&format!("{service}.{proto}"));
        renamed.cloned().unwrap_or_else(|| proto.to_snake_case())
    }

    /// # Errors
    ///
    /// All names that cannot be had, in the order of the files; or what was to be renamed is not there.
    pub(crate) fn check(&mut self, files: &FileDescriptorSet, pw_rpc: bool) -> Result<(), Error> {
        self.check_renamed(files)?;
        let mut clashes = Vec::new();
        let mut types = self.types_of_messages(files);
        for file in &files.file {
            for service in &file.service {
                let mut found = Clashes {
                    file: file.name(),
                    service: full_name(file.package(), service.name()),
                    clashes: &mut clashes,
                };
                self.check_service(file.package(), service.name(), &mut types, &mut found);
                if pw_rpc && service.name().ends_with("Service") {
                    let reason = "pw_rpc's services have no `Service` at the end of their name";
                    found.add(None, reason.to_owned());
                }
                self.check_methods(service, &mut found);
            }
        }
        if clashes.is_empty() {
            return Ok(());
        }
        Err(Error::Names(clashes))
    }

    fn check_renamed(&self, files: &FileDescriptorSet) -> Result<(), Error> {
        let mut missing: Vec<&String> = self.renamed.keys().collect();
        for (file, service) in services(files) {
            let name = full_name(file.package(), service.name());
            missing.retain(|renamed| **renamed != name);
            for method in &service.method {
                let name = format!("{name}.{}", method.name());
                missing.retain(|renamed| **renamed != name);
            }
        }
        missing
            .first()
            .map_or(Ok(()), |name| Err(Error::Rename((*name).clone())))
    }

    /// What is there by package and name in Rust before any service.
    fn types_of_messages(&self, files: &FileDescriptorSet) -> BTreeMap<(String, String), String> {
        let mut types = BTreeMap::new();
        for file in &files.file {
            let messages = file
                .message_type
                .iter()
                .map(|message| ("message", message.name()));
            let enums = file.enum_type.iter().map(|one| ("enum", one.name()));
            for (kind, name) in messages.chain(enums) {
                let key = (file.package().to_owned(), name.to_upper_camel_case());
                types.insert(key, format!("the {kind} {name}"));
            }
        }
        types
    }

    fn check_service(
        &self,
        package: &str,
        proto: &str,
        types: &mut BTreeMap<(String, String), String>,
        found: &mut Clashes<'_>,
    ) {
        let rust = self.service(&found.service, proto);
        if let Some(reason) = not_a_name(&rust) {
            return found.add(None, reason);
        }
        for suffix in &self.types {
            let name = format!("{rust}{suffix}");
            let key = (package.to_owned(), name.clone());
            if let Some(other) = types.get(&key) {
                found.add(None, format!("in Rust `{name}` is {other}"));
                continue;
            }
            types.insert(key, format!("generated for the service {}", found.service));
        }
    }

    fn check_methods(&self, service: &ServiceDescriptorProto, found: &mut Clashes<'_>) {
        let mut functions: BTreeMap<String, &str> = BTreeMap::new();
        for method in &service.method {
            let rust = self.method(&found.service, method.name());
            if let Some(reason) = not_a_name(&rust) {
                found.add(Some(method.name()), reason);
                continue;
            }
            if let Some((_, what)) = RESERVED.iter().find(|(name, _)| *name == rust) {
                found.add(Some(method.name()), format!("in Rust `{rust}` is {what}"));
                continue;
            }
            for suffix in SUFFIXES {
                let name = format!("{rust}{suffix}");
                if let Some(other) = functions.get(&name) {
                    let reason = format!("in Rust `{name}` is generated for the method {other}");
                    found.add(Some(method.name()), reason);
                    continue;
                }
                functions.insert(name, method.name());
            }
        }
    }
}

fn services(
    files: &FileDescriptorSet,
) -> impl Iterator<Item = (&FileDescriptorProto, &ServiceDescriptorProto)> {
    let files = files.file.iter();
    files.flat_map(|file| file.service.iter().map(move |service| (file, service)))
}

fn not_a_name(rust: &str) -> Option<String> {
    if KEYWORDS.contains(&rust) {
        return Some(format!("`{rust}` is a keyword of Rust"));
    }
    let mut chars = rust.chars();
    let starts = chars
        .next()
        .is_some_and(|char| char.is_ascii_alphabetic() || char == '_');
    let is_name = starts && chars.all(|char| char.is_ascii_alphanumeric() || char == '_');
    (!is_name).then(|| format!("`{rust}` is no name in Rust"))
}

/// The clashes of one service.
struct Clashes<'a> {
    file: &'a str,
    service: String,
    clashes: &'a mut Vec<NameClash>,
}

impl Clashes<'_> {
    fn add(&mut self, method: Option<&str>, reason: String) {
        self.clashes.push(NameClash {
            file: self.file.to_owned(),
            service: self.service.clone(),
            method: method.map(str::to_owned),
            reason,
        });
    }
}
