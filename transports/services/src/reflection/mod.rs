//! gRPC's reflection service, after `server-reflection.md` of gRPC, in its versions v1 and v1alpha, which differ in the
//! package's name alone.

mod alpha;
mod index;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use headwater_rpc::{
    Code, Metadata, Service,
    stub::{Failure, Messages, ServerRequest, ServiceDescriptor, Sink},
};

use index::Index;
use v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    SERVER_REFLECTION, ServerReflection, ServerReflectionRequest, ServerReflectionResponse,
    ServerReflectionServer, ServiceResponse, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

/// What is generated from `grpc/reflection/v1/reflection.proto`, the client included.
pub mod v1 {
    headwater_rpc::include_proto!("grpc.reflection.v1");
}

/// What a server has to tell of its services. Clones share it.
///
/// Services are added and removed here as they are at the router; both may happen while the server runs. The service itself
/// is among them from the start.
#[derive(Clone)]
pub struct Reflection {
    index: Arc<RwLock<Index>>,
}

/// The descriptors of a service are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescriptorError(prost::DecodeError);

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the encoded files are no google.protobuf.FileDescriptorSet")
    }
}

impl std::error::Error for DescriptorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl Reflection {
    /// Knows itself alone.
    ///
    /// # Panics
    ///
    /// Never: its own descriptors are generated.
    pub fn new() -> Self {
        let files = Bytes::from_static(SERVER_REFLECTION.file_descriptor_set);
        let mut index = Index::default();
        let added = alpha::files(&files)
            .and_then(|alpha| index.add(alpha::SERVICE, alpha))
            .and_then(|()| index.add(SERVER_REFLECTION.name, files));
        added.expect("the descriptors of reflection itself are generated");
        Self {
            index: Arc::new(RwLock::new(index)),
        }
    }

    /// Lists a service, and tells of its file and all that this imports. One that was generated without descriptors is
    /// listed only. One of the same name is replaced.
    ///
    /// # Errors
    ///
    /// Its descriptors cannot be decoded; nothing has changed then.
    pub fn add(&self, service: &ServiceDescriptor) -> Result<(), DescriptorError> {
        let files = Bytes::from_static(service.file_descriptor_set);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.add(service.name, files).map_err(DescriptorError)
    }

    /// Does not list the service of this name any more, nor tell of files that it alone had. Says if there was one.
    pub fn remove(&self, service: &str) -> bool {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.remove(service)
    }

    /// What a router serves: the same for v1 and for v1alpha, which grpcio's client speaks.
    pub fn services(&self) -> [Service; 2] {
        let service = ServerReflectionServer::new(self.clone()).into_service();
        let alpha = Service {
            name: alpha::SERVICE.into(),
            ..service.clone()
        };
        [service, alpha]
    }

    /// The answer to one request. `sent` are the names of the files that the stream has had.
    fn answer(
        &self,
        request: Option<&MessageRequest>,
        sent: &mut BTreeSet<Arc<str>>,
    ) -> MessageResponse {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let file = match request {
            Some(MessageRequest::FileByFilename(name)) => index.file(name),
            Some(MessageRequest::FileContainingSymbol(symbol)) => index.file_of_symbol(symbol),
            Some(MessageRequest::FileContainingExtension(extension)) => {
                index.file_of_extension(&extension.containing_type, extension.extension_number)
            }
            Some(MessageRequest::AllExtensionNumbersOfType(message)) => {
                return index.extensions(message).map_or_else(not_found, |numbers| {
                    MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                        base_type_name: message.clone(),
                        extension_number: numbers,
                    })
                });
            }
            Some(MessageRequest::ListServices(_)) => return list(&index),
            None => return error(Code::InvalidArgument, "nothing is asked"),
        };
        file.map_or_else(not_found, |file| {
            let file_descriptor_proto = index.with_imports(file, sent);
            MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
                file_descriptor_proto,
            })
        })
    }
}

impl Default for Reflection {
    fn default() -> Self {
        Self::new()
    }
}

impl ServerReflection for Reflection {
    async fn server_reflection_info_streaming(
        &self,
        request: ServerRequest<Messages<ServerReflectionRequest>>,
        responses: Sink<ServerReflectionResponse>,
    ) -> Result<Metadata, Failure> {
        let mut requests = request.message;
        let mut sent = BTreeSet::new();
        while let Some(request) = requests.message().await? {
            let answer = self.answer(request.message_request.as_ref(), &mut sent);
            let response = ServerReflectionResponse {
                valid_host: request.host.clone(),
                original_request: Some(request),
                message_response: Some(answer),
            };
            responses.send(response).await?;
        }
        Ok(Metadata::new())
    }
}

impl fmt::Debug for Reflection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(index.services()).finish()
    }
}

fn list(index: &Index) -> MessageResponse {
    let names = index.services().map(str::to_owned);
    MessageResponse::ListServicesResponse(ListServiceResponse {
        service: names.map(|name| ServiceResponse { name }).collect(),
    })
}

fn not_found() -> MessageResponse {
    error(Code::NotFound, "there is nothing of this name")
}

fn error(code: Code, message: &str) -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse {
        error_code: code.number().into(),
        error_message: message.to_owned(),
    })
}
