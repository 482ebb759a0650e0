//! Which file has what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use prost::{DecodeError, Message as _};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

/// The files of all services, and what is in them.
#[derive(Default)]
pub(super) struct Index {
    services: BTreeMap<Arc<str>, Arc<[File]>>,
    files: BTreeMap<Arc<str>, File>,
    /// Full names, and the file of each.
    symbols: BTreeMap<String, Arc<str>>,
    /// Message and number, and the file of each.
    extensions: BTreeMap<(String, i32), Arc<str>>,
    messages: BTreeSet<String>,
}

#[derive(Clone)]
struct File {
    parsed: Arc<FileDescriptorProto>,
    /// As it was encoded: what this library does not know is told too.
    encoded: Bytes,
}

/// `google.protobuf.FileDescriptorSet`, of which the files are taken as they are.
#[derive(Clone, PartialEq, prost::Message)]
struct EncodedFiles {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

impl Index {
    pub(super) fn add(&mut self, service: &str, files: Bytes) -> Result<(), DecodeError> {
        let files = EncodedFiles::decode(files)?.file.into_iter();
        let files = files.map(|encoded| {
            let parsed = FileDescriptorProto::decode(encoded.clone())?;
            Ok(File {
                parsed: Arc::new(parsed),
                encoded,
            })
        });
        let files: Result<Arc<[File]>, DecodeError> = files.collect();
        self.services.insert(service.into(), files?);
        self.rebuild();
        Ok(())
    }

    pub(super) fn remove(&mut self, service: &str) -> bool {
        let removed = self.services.remove(service).is_some();
        self.rebuild();
        removed
    }

    /// The names of the services, in order.
    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(AsRef::as_ref)
    }

    pub(super) fn file(&self, name: &str) -> Option<&Arc<str>> {
        self.files.get_key_value(name).map(|(name, _)| name)
    }

    pub(super) fn file_of_symbol(&self, symbol: &str) -> Option<&Arc<str>> {
        self.symbols.get(symbol)
    }

    pub(super) fn file_of_extension(&self, message: &str, number: i32) -> Option<&Arc<str>> {
        self.extensions.get(&(message.to_owned(), number))
    }

    /// The numbers of a message's extensions, in order; `None` if there is no such message.
    pub(super) fn extensions(&self, message: &str) -> Option<Vec<i32>> {
        if !self.messages.contains(message) {
            return None;
        }
        let all = (message.to_owned(), i32::MIN)..=(message.to_owned(), i32::MAX);
        let numbers = self.extensions.range(all).map(|((_, number), _)| *number);
        Some(numbers.collect())
    }

    /// The file, and of all that it imports what was not `sent`.
    pub(super) fn with_imports(
        &self,
        name: &Arc<str>,
        sent: &mut BTreeSet<Arc<str>>,
    ) -> Vec<Bytes> {
        let mut found = Vec::new();
        let mut waiting = vec![name];
        sent.remove(name);
        while let Some(name) = waiting.pop() {
            // An import that nobody brought along is left out, and the client sees that it is missing.
            let Some(file) = self.files.get(name) else {
                continue;
            };
            if sent.insert(Arc::clone(name)) {
                found.push(file.encoded.clone());
            }
            let imports = file.parsed.dependency.iter().rev();
            let imports = imports.filter_map(|import| self.file(import));
            waiting.extend(imports.filter(|import| !sent.contains(*import)));
        }
        found
    }

    /// Services come and go rarely, so all is looked at again.
    fn rebuild(&mut self) {
        self.files.clear();
        self.symbols.clear();
        self.extensions.clear();
        self.messages.clear();
        let files: Vec<File> = self
            .services
            .values()
            .flat_map(|files| files.to_vec())
            .collect();
        for file in files {
            let name: Arc<str> = file.parsed.name().into();
            if !self.files.contains_key(&name) {
                self.add_file(&name, &file.parsed);
                self.files.insert(name, file);
            }
        }
    }

    fn add_file(&mut self, name: &Arc<str>, file: &FileDescriptorProto) {
        let mut scope = Scope {
            index: self,
            file: name,
        };
        let package = file.package();
        for message in &file.message_type {
            scope.message(package, message);
        }
        for one in &file.enum_type {
            scope.enumeration(package, one);
        }
        for extension in &file.extension {
            scope.extension(package, extension);
        }
        for service in &file.service {
            let service_name = scope.symbol(package, service.name());
            for method in &service.method {
                scope.symbol(&service_name, method.name());
            }
        }
    }
}

/// Adds what is in one file.
struct Scope<'a> {
    index: &'a mut Index,
    file: &'a Arc<str>,
}

impl Scope<'_> {
    /// Gives the full name.
    fn symbol(&mut self, scope: &str, name: &str) -> String {
        let full = if scope.is_empty() {
            name.to_owned()
        } else {
            format!("{scope}.{name}")
        };
        let file = Arc::clone(self.file);
        self.index.symbols.insert(full.clone(), file);
        full
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = self.symbol(scope, message.name());
        for field in &message.field {
            self.symbol(&name, field.name());
        }
        for oneof in &message.oneof_decl {
            self.symbol(&name, oneof.name());
        }
        for extension in &message.extension {
            self.extension(&name, extension);
        }
        for one in &message.enum_type {
            self.enumeration(&name, one);
        }
        for nested in &message.nested_type {
            self.message(&name, nested);
        }
        self.index.messages.insert(name);
    }

    /// The values are beside their enum, not inside (the rule is C++'s).
    fn enumeration(&mut self, scope: &str, one: &EnumDescriptorProto) {
        self.symbol(scope, one.name());
        for value in &one.value {
            self.symbol(scope, value.name());
        }
    }

    fn extension(&mut self, scope: &str, extension: &FieldDescriptorProto) {
        self.symbol(scope, extension.name());
        let message = extension.extendee().trim_start_matches('.').to_owned();
        let file = Arc::clone(self.file);
        let key = (message, extension.number());
        self.index.extensions.insert(key, file);
    }
}
