//! What these cases share.

use bytes::Bytes;
use headwater_rpc::{Method, Service, Status};

/// A service of unary methods, each of which answers with `answer`.
pub(crate) fn service(name: &str, methods: &[&'static str], answer: &'static str) -> Service {
    let method = |name: &&'static str| {
        Method::unary(*name, move |_| async move {
            Ok::<_, Status>(Bytes::from(answer))
        })
    };
    Service {
        name: name.into(),
        methods: methods.iter().map(method).collect(),
    }
}
