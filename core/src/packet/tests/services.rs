//! What the peer can call, and how that changes.

use super::*;

use PacketType::{ClientStream, Request, ServerStream};

/// S5-59: calls of what was unregistered end with `ABORTED`, and the peer is told; later requests are `NOT_FOUND`, the other
/// service goes on, and doing it twice changes nothing.
#[test]
fn s5_59_unregistering_a_service_aborts_its_calls_on_both_sides() {
    const OTHER: &str = "/test.Other/Bidi";
    let mut both = services();
    both.add(Method::new(OTHER, Shape::Bidirectional))
        .expect("new");
    let mut script = Script::plain();
    script.endpoint.set_services(Arc::new(both.clone()));
    let call = script.requested(BIDI, 5);
    let other = script.requested(OTHER, 5);
    script.did(&[]);

    let mut fewer = both.clone();
    assert_eq!(fewer.remove_service("test.Service"), METHODS.len());
    script.endpoint.set_services(Arc::new(fewer.clone()));
    let message = "the service was unregistered";
    script.did(&[
        server_error(BIDI, 5, Code::Aborted),
        closed(call.0, Code::Aborted, message, EndedBy::Local),
    ]);
    let not_found = || server_error(BIDI, 5, Code::NotFound);
    script.gives(packet(Request, BIDI, 5), &[not_found()]);
    script.gives(packet(ClientStream, BIDI, 5), &[not_found()]);
    let stream = with_payload(packet(ClientStream, OTHER, 5), "m");
    script.gives(stream, &[frame(other.0, super::message("m"))]);

    assert_eq!(fewer.remove_service("test.Service"), 0);
    script.endpoint.set_services(Arc::new(fewer));
    script.did(&[]);
    script.endpoint.set_services(Arc::new(both));
    script.did(&[]);
    let again = script.requested(BIDI, 5);
    assert_eq!(again.0, other.0 + 1, "registered again, it can be called");
}

/// S5-59: registering what is there is refused and changes nothing.
#[test]
fn s5_59_a_method_is_registered_once() {
    let mut services = services();
    let again = services.add(Method::new(UNARY, Shape::Bidirectional));
    assert_eq!(again, Err(AddError::AlreadyExists));
    let id = MethodId::of_path(UNARY).expect("a path");
    let method = services.get(id).expect("it is there");
    assert_eq!(method.shape, Shape::Unary);
    let bad = services.add(Method::new("Unary", Shape::Unary));
    assert_eq!(bad, Err(AddError::Path));
}

/// S5-60: the call over the limit of its method is refused with `RESOURCE_EXHAUSTED`; when one ends there is room again.
#[test]
fn s5_60_calls_of_one_method_are_limited() {
    let mut limited = Services::new();
    let method = Method {
        calls_max: 2,
        ..Method::new(BIDI, Shape::Bidirectional)
    };
    limited.add(method).expect("new");
    let other = Method::new(UNARY, Shape::Unary);
    limited.add(other).expect("new");
    let mut script = Script::plain();
    script.endpoint.set_services(Arc::new(limited));
    let first = script.requested(BIDI, 1);
    script.requested(BIDI, 2);
    let full = server_error(BIDI, 3, Code::ResourceExhausted);
    script.gives(packet(Request, BIDI, 3), &[full]);
    script.requested(UNARY, 3);
    assert_eq!(script.endpoint.finish(first, Trailers::ok()), Ok(()));
    drain(&mut script.endpoint);
    script.requested(BIDI, 3);
}

/// S5-60: the bound for every method is of each by itself, and a method's own counts where it is lower.
#[test]
fn s5_60_the_bound_of_an_endpoint_is_of_each_method() {
    let config = EndpointConfig {
        method_calls_max: 2,
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Never);
    let mut limited = Services::new();
    limited
        .add(Method::new(BIDI, Shape::Bidirectional))
        .expect("new");
    let own = Method {
        calls_max: 1,
        ..Method::new(UNARY, Shape::Unary)
    };
    limited.add(own).expect("new");
    script.endpoint.set_services(Arc::new(limited));
    script.requested(BIDI, 1);
    script.requested(BIDI, 2);
    let full = server_error(BIDI, 3, Code::ResourceExhausted);
    script.gives(packet(Request, BIDI, 3), &[full]);
    script.requested(UNARY, 3);
    let full = server_error(UNARY, 4, Code::ResourceExhausted);
    script.gives(packet(Request, UNARY, 4), &[full]);
}

/// The bound of all calls of the peer; its own calls do not count.
#[test]
fn calls_of_the_peer_are_limited() {
    let config = EndpointConfig {
        calls_max: 1,
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Never);
    script.called(BIDI);
    script.requested(BIDI, 1);
    let full = server_error(UNARY, 2, Code::ResourceExhausted);
    script.gives(packet(Request, UNARY, 2), &[full]);
}

/// A plain peer is told `UNAVAILABLE`; calls that run go on.
#[test]
fn a_server_that_drains_takes_no_new_calls() {
    let mut script = Script::plain();
    let key = script.requested(BIDI, 1);
    script.endpoint.drain();
    script.did(&[]);
    let refused = server_error(BIDI, 2, Code::Unavailable);
    script.gives(packet(Request, BIDI, 2), &[refused]);
    script.send(key, message("r"));
    let sent = with_payload(packet(ServerStream, BIDI, 1), "r");
    script.did(&[Output::Transmit(sent)]);
}

/// S5-65: whatever ends a call, a plain peer sees only the codes that pw_rpc lists for an error; a server says any other
/// in a response.
#[test]
fn s5_65_plain_peers_see_the_listed_codes() {
    const CLIENT: [u32; 7] = [1, 3, 5, 9, 10, 14, 15];
    const SERVER: [u32; 7] = [3, 5, 8, 9, 10, 13, 14];
    for code in Code::ALL {
        let mut script = Script::plain();
        let called = script.called(BIDI);
        let served = script.requested(BIDI, 9);
        script.endpoint.reset(called, code);
        script.endpoint.reset(served, code);
        let outputs = drain(&mut script.endpoint);
        let [Output::Transmit(client), Output::Transmit(server)] = &outputs[..] else {
            panic!("each is told once: {outputs:?}");
        };
        assert_eq!(client.r#type, i32::from(PacketType::ClientError));
        assert!(CLIENT.contains(&client.status), "{code}: {client:?}");
        assert_eq!(server.status, u32::from(code.number()));
        let in_error = server.r#type == i32::from(PacketType::ServerError);
        assert_eq!(in_error, SERVER.contains(&server.status), "{code}");
        let in_response = server.r#type == i32::from(PacketType::Response);
        assert_ne!(in_error, in_response, "{code}");
    }
}
