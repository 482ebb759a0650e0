//! How the errors of handlers are told.

use std::fmt;

use bytes::Bytes;
use headwater_conformance::{Fixture, control::read, for_each_transport};
use headwater_rpc::{
    CallError, Code, Detail, EndedBy, HandlerError, Metadata, Method, Service, Status,
    stub::Failure,
};

#[derive(Debug)]
struct Own {
    secret: &'static str,
    source: Option<Status>,
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.secret)
    }
}

impl std::error::Error for Own {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_ref()?;
        Some(source)
    }
}

/// An error of the application that is told as a status.
#[derive(Debug)]
struct Convertible;

impl From<Convertible> for Status {
    fn from(_: Convertible) -> Self {
        Self::new(Code::AlreadyExists, "converted")
    }
}

fn thrown(kind: &[u8]) -> Result<Bytes, HandlerError> {
    let status = Status::new(Code::NotFound, "carried");
    let secret = "a secret";
    match kind {
        b"status" => Err(status)?,
        b"stub" => Err(Failure::from(status))?,
        b"call" => Err(CallError {
            status,
            by: EndedBy::Peer,
        })?,
        b"source" => Err(Own {
            secret,
            source: Some(status),
        })?,
        _ => Err(Own {
            secret,
            source: None,
        })?,
    }
}

/// S4-35: a status, an error that is one or converts to one is told as that status; any other is `UNKNOWN`, and its text
/// stays on the server.
#[test]
fn s4_35_errors_become_a_status() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let methods = vec![
            Method::unary("Thrown", |request| async move { thrown(&request.message) }),
            Method::unary("Converted", |_| async move { Err(Convertible) }),
            Method::unary("Asked", |request| async move {
                if request.message.is_empty() {
                    Err(Convertible)?;
                }
                Ok::<_, Status>(thrown(&request.message)?)
            }),
        ];
        let name = "a.B".into();
        pair.router.add(Service { name, methods }).expect("valid");
        let carried = Status::new(Code::NotFound, "carried");
        let unknown = Status::new(Code::Unknown, "the handler failed");
        let converted = Status::new(Code::AlreadyExists, "converted");
        let table = [
            ("/a.B/Thrown", "status", &carried),
            ("/a.B/Thrown", "call", &carried),
            ("/a.B/Thrown", "stub", &carried),
            ("/a.B/Thrown", "source", &carried),
            ("/a.B/Thrown", "other", &unknown),
            ("/a.B/Converted", "", &converted),
            ("/a.B/Asked", "", &converted),
            ("/a.B/Asked", "other", &unknown),
        ];
        for (path, kind, expected) in table {
            let answer = pair.unary(path, kind).await;
            assert_eq!(answer.as_ref(), Err(expected), "{path} {kind}");
        }
    });
}

/// S4-35: rich details come with the status, also after messages.
#[test]
fn s4_35_rich_details_pass() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let details = [
            Detail::new("google.rpc.RetryInfo", vec![10, 2, 8, 5]),
            Detail::new("a.Own", vec![0, 255]),
        ];
        let status = Status::new(Code::ResourceExhausted, "later").with_details(details.clone());
        let told = status.clone();
        pair.router.stream("/a.B/C", move |call| {
            let told = told.clone();
            async move {
                let sent = call.sender.send(Bytes::from("message")).await;
                sent.expect("the call is open");
                let _ = call.sender.finish(Err(told), Metadata::new());
            }
        });
        let (_sender, mut receiver) = pair.call("/a.B/C").await;
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!(
            (messages, &outcome),
            (vec![Bytes::from("message")], &Err(status))
        );
        let told = outcome.expect_err("it failed").rich_details();
        assert_eq!(told.as_deref(), Ok(&details[..]));
    });
}
