//! The version v1alpha of reflection: the files of v1 under the older name.

use bytes::Bytes;
use prost::{DecodeError, Message as _};
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// The service's name.
pub(super) const SERVICE: &str = "grpc.reflection.v1alpha.ServerReflection";
const FILE: &str = "grpc/reflection/v1alpha/reflection.proto";
const PACKAGE: &str = "grpc.reflection.v1alpha";

/// Makes the files of v1alpha of those of v1.
pub(super) fn files(v1: &Bytes) -> Result<Bytes, DecodeError> {
    let mut files = FileDescriptorSet::decode(v1.clone())?;
    files.file.iter_mut().for_each(rename);
    Ok(files.encode_to_vec().into())
}

fn rename(file: &mut FileDescriptorProto) {
    let old = format!(".{}.", file.package());
    let renamed = |name: &mut String| {
        if let Some(rest) = name.strip_prefix(&old) {
            *name = format!(".{PACKAGE}.{rest}");
        }
    };
    for message in &mut file.message_type {
        let fields = message.field.iter_mut();
        fields
            .filter_map(|field| field.type_name.as_mut())
            .for_each(renamed);
    }
    for method in file
        .service
        .iter_mut()
        .flat_map(|service| &mut service.method)
    {
        method.input_type.as_mut().map(renamed);
        method.output_type.as_mut().map(renamed);
    }
    file.name = Some(FILE.to_owned());
    file.package = Some(PACKAGE.to_owned());
}
