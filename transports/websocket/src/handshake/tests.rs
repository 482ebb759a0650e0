use http::HeaderName;

use super::*;

/// The request of RFC 6455, section 1.3.
fn request() -> Request<()> {
    Request::builder()
        .uri("/chat")
        .header("Host", "server.example.com")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Origin", "http://example.com")
        .header("Sec-WebSocket-Protocol", "chat, superchat")
        .header("Sec-WebSocket-Version", "13")
        .body(())
        .unwrap()
}

fn with(name: &'static str, value: &str) -> Request<()> {
    let mut request = request();
    let name = HeaderName::from_static(name);
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn with_another(name: &'static str, value: &str) -> Request<()> {
    let mut request = request();
    let name = HeaderName::from_static(name);
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

fn without(name: &'static str) -> Request<()> {
    let mut request = request();
    request.headers_mut().remove(name);
    request
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    let handshake = Handshake::check(&request()).unwrap();
    assert_eq!(
        handshake.subprotocols().collect::<Vec<_>>(),
        ["chat", "superchat"]
    );
    let answer: Response<()> = handshake.accept(Some("chat")).unwrap();
    assert_eq!(answer.status(), 101);
    let header = |name| answer.headers()[name].to_str().unwrap();
    assert_eq!(header("upgrade"), "websocket");
    assert_eq!(header("connection"), "Upgrade");
    assert_eq!(
        header("sec-websocket-accept"),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    assert_eq!(header("sec-websocket-protocol"), "chat");
}

#[test]
fn only_an_offered_subprotocol_can_be_accepted() {
    let handshake = Handshake::check(&request()).unwrap();
    assert_eq!(
        handshake.accept::<()>(Some("other")).unwrap_err(),
        NotOffered
    );
    let none: Response<()> = handshake.accept(None).unwrap();
    assert!(!none.headers().contains_key("sec-websocket-protocol"));
}

#[test]
fn no_extension_is_ever_accepted() {
    let request = with("sec-websocket-extensions", "permessage-deflate");
    let answer: Response<()> = Handshake::check(&request).unwrap().accept(None).unwrap();
    assert!(!answer.headers().contains_key("sec-websocket-extensions"));
}

#[test]
fn lists_and_case_are_read_as_http_has_them() {
    for request in [
        with("connection", "keep-alive, Upgrade"),
        with("connection", "UPGRADE"),
        with_another("connection", "keep-alive"),
        with("upgrade", "h2c, WebSocket"),
        with("content-length", "0"),
    ] {
        assert!(Handshake::check(&request).is_ok(), "{request:?}");
    }
    let lists = with_another("sec-websocket-protocol", " third ,, ");
    let handshake = Handshake::check(&lists).unwrap();
    assert_eq!(
        handshake.subprotocols().collect::<Vec<_>>(),
        ["chat", "superchat", "third"]
    );
}

#[test]
fn each_fault_has_its_rejection() {
    let mut post = request();
    *post.method_mut() = Method::POST;
    let mut old = request();
    *old.version_mut() = Version::HTTP_10;
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    for (request, rejection, status) in [
        (without("upgrade"), Rejection::NotAnUpgrade, 426),
        (with("upgrade", "h2c"), Rejection::NotAnUpgrade, 426),
        (post, Rejection::Method, 405),
        (old, Rejection::HttpVersion, 505),
        (without("host"), Rejection::Host, 400),
        (
            with_another("host", "server.example.com"),
            Rejection::Host,
            400,
        ),
        (without("connection"), Rejection::Connection, 400),
        (with("connection", "keep-alive"), Rejection::Connection, 400),
        (with("transfer-encoding", "chunked"), Rejection::Body, 400),
        (with("content-length", "5"), Rejection::Body, 400),
        (without("sec-websocket-version"), Rejection::Version, 426),
        (with("sec-websocket-version", "8"), Rejection::Version, 426),
        (
            with_another("sec-websocket-version", "8"),
            Rejection::Version,
            426,
        ),
        (without("sec-websocket-key"), Rejection::Key, 400),
        (with_another("sec-websocket-key", key), Rejection::Key, 400),
        (with("sec-websocket-key", "c2hvcnQ="), Rejection::Key, 400),
        (
            with("sec-websocket-key", "not base64 at all !!!!!!"),
            Rejection::Key,
            400,
        ),
        (
            with("sec-websocket-protocol", "a b"),
            Rejection::Subprotocol,
            400,
        ),
    ] {
        assert_eq!(Handshake::check(&request), Err(rejection), "{request:?}");
        let answer: Response<String> = rejection.response();
        assert_eq!(answer.status(), status, "{rejection:?}");
        assert_eq!(answer.body(), &format!("{rejection}\n"));
    }
}

#[test]
fn another_version_is_answered_with_the_one_spoken_here() {
    let answer: Response<String> = Rejection::Version.response();
    assert_eq!(answer.headers()["sec-websocket-version"], "13");
    let answer: Response<String> = Rejection::Method.response();
    assert_eq!(answer.headers()["allow"], "GET");
}
