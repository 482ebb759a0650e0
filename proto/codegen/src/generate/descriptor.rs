//! The descriptor of a service.

use super::{ALLOW, Generator, ServiceCode};
use crate::descriptors::file_name;

const METHOD: &str = r#"
        $stub::MethodDescriptor {
            name: "$name",
            path: "$path",
            shape: $rpc::Shape::$shape,
            request: "$request_type",
            response: "$response_type",
        },"#;

impl Generator {
    pub(super) fn descriptor(&self, service: &ServiceCode, buf: &mut String) {
        let mut methods = String::new();
        for method in &service.methods {
            let words = [
                ("$name", method.method.proto_name.as_str()),
                ("$path", &method.path),
                ("$shape", method.shape.name()),
                ("$request_type", proto(&method.method.input_proto_type)),
                ("$response_type", proto(&method.method.output_proto_type)),
            ];
            self.write(METHOD, &words, &mut methods);
        }
        let files = if self.settings.file_descriptor_sets {
            format!("include_bytes!({:?})", file_name(&service.full))
        } else {
            "&[]".to_owned()
        };
        let template = r#"
/// The descriptor of `$full`.
$ALLOW
pub const $CONSTANT: $stub::ServiceDescriptor = $stub::ServiceDescriptor {
    name: "$full",
    package: "$package",
    methods: &[$methods],
    file_descriptor_set: $files,
};
"#;
        let words = [
            ("$ALLOW", ALLOW),
            ("$CONSTANT", &service.constant()),
            ("$full", &service.full),
            ("$package", &service.package),
            ("$methods", &methods),
            ("$files", &files),
        ];
        self.write(template, &words, buf);
    }
}

/// The name of a type, without the dot that says that it is complete.
fn proto(name: &str) -> &str {
    name.strip_prefix('.').unwrap_or(name)
}
