//! Toward our client: each ends the call with a status, the client hangs up before it holds much, and works on.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use headwater_http2::{Http2Client, Http2ClientConfig};
use headwater_rpc::{CallOptions, Client, Code, Metadata, SendError, Status};
use http::{HeaderMap, Response};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::yield_now,
};

use crate::frames::{
    CANCEL, CONTINUATION, DATA, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, INTERNAL_ERROR, PING,
    RST_STREAM, Raw, SETTINGS, ballast, block, frame, go_away, literal, reset, response,
};

/// What the systems' sockets may hold, and what a client may hold, before it has hung up.
const SENT_BYTES_MAX: usize = 32 << 20;
/// Beyond this a case hangs.
pub(crate) const HANG: Duration = Duration::from_secs(20);

pub(crate) type Sent = Pin<Box<dyn Future<Output = usize> + Send>>;
/// What a server does with a connection on which stream 1 was opened; how many bytes it could send.
pub(crate) type Script = fn(Raw) -> Sent;

/// A server whose first connection follows the script, while all later ones are answered well.
async fn serve(script: Script) -> (String, oneshot::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let (told, sent) = oneshot::channel();
    tokio::spawn(async move {
        let (first, _) = listener.accept().await.expect("a connection");
        tokio::spawn(async move {
            let raw = Raw::server(first).await.expect("a request");
            // The test may have failed already.
            let _ = told.send(script(raw).await);
        });
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_well(stream));
        }
    });
    (url, sent)
}

async fn answer_well(stream: TcpStream) {
    let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let response = Response::builder().header("content-type", "application/grpc");
        let response = response.body(()).expect("valid");
        let mut body = respond.send_response(response, false).expect("open");
        body.send_data(message(), false).expect("open");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("valid"));
        body.send_trailers(trailers).expect("open");
    }
}

pub(crate) fn message() -> Bytes {
    Bytes::from_static(&[0, 0, 0, 0, 1, 1])
}

async fn call(client: &Client) -> Result<Bytes, Status> {
    let (metadata, message) = (Metadata::new(), Bytes::new());
    let call = client.unary("/t.T/X", metadata, message, CallOptions::default());
    let bound = tokio::time::timeout(HANG, call);
    bound.await.expect("the client must not wait for ever")
}

pub(crate) async fn client_of(script: Script) -> (Client, oneshot::Receiver<usize>) {
    let (url, sent) = serve(script).await;
    let transport = Http2Client::new(&url, &Http2ClientConfig::default());
    let client = Client::new(transport.expect("a valid url"));
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    (client, sent)
}

/// A unary call against the script ends like this, and one after it is answered.
async fn check(name: &str, script: Script, expected: Code) {
    check_outcome(name, script, Err(expected)).await;
}

async fn check_outcome(name: &str, script: Script, expected: Result<Bytes, Code>) {
    let (client, sent) = client_of(script).await;
    let outcome = call(&client).await.map_err(|status| status.code);
    assert_eq!(outcome, expected, "{name}");
    has_hung_up(name, sent).await;
    works_again(name, &client).await;
}

async fn has_hung_up(name: &str, sent: oneshot::Receiver<usize>) {
    let sent = tokio::time::timeout(HANG, sent).await;
    let sent = sent.unwrap_or_else(|_| panic!("{name}: the client did not hang up"));
    let sent = sent.expect("the script does not panic");
    assert!(
        sent <= SENT_BYTES_MAX,
        "{name}: the client took {sent} bytes"
    );
}

/// Until the client has seen that its connection ended, calls on it may fail, but only as unavailable.
async fn works_again(name: &str, client: &Client) {
    let mut answer = call(client).await;
    for _ in 0..1000 {
        let Err(status) = &answer else {
            break;
        };
        assert_eq!(status.code, Code::Unavailable, "{name}");
        yield_now().await;
        answer = call(client).await;
    }
    assert_eq!(answer, Ok(Bytes::from_static(&[1])), "after {name}");
}

/// Sends this once and is gone.
async fn once(mut raw: Raw, bytes: Vec<u8>) -> usize {
    // A client that has hung up in the middle has had enough.
    let _ = raw.write(&bytes).await;
    bytes.len()
}

/// The headers of a response and the start of a message.
fn begun() -> Vec<u8> {
    let mut bytes = block(0, 1, &response());
    bytes.extend(frame(DATA, 0, 1, &message()[..5]));
    bytes
}

/// The calls are not taken, so they go to the next connection (S4-54).
#[tokio::test]
async fn go_away_storms() {
    let answered = || Ok(Bytes::from_static(&[1]));
    let all: Script = |raw| Box::pin(once(raw, go_away(0, ENHANCE_YOUR_CALM).repeat(10_000)));
    check_outcome("a storm of errors", all, answered()).await;
    let polite: Script = |raw| Box::pin(once(raw, go_away(0, 0).repeat(10_000)));
    check_outcome("a storm without an error", polite, answered()).await;
}

/// A server that says for ever that it will leave, and that it will still answer: like one that says nothing, it is
/// given the call's time.
#[tokio::test]
async fn an_endless_storm_of_go_away_that_spares_the_call() {
    let name = "an endless storm";
    let script: Script = |mut raw| {
        Box::pin(async move { raw.flood(&go_away(1, ENHANCE_YOUR_CALM).repeat(100)).await })
    };
    let (client, sent) = client_of(script).await;
    let options = CallOptions {
        timeout: Some(Duration::from_millis(30)),
        ..CallOptions::default()
    };
    let call = client.unary("/t.T/X", Metadata::new(), Bytes::new(), options);
    let outcome = call.await.map_err(|status| status.code);
    assert_eq!(outcome, Err(Code::DeadlineExceeded));
    // How much comes in that time is the machine's affair; after it the connection is of no use, and is closed.
    let ended = tokio::time::timeout(HANG, sent).await;
    ended.expect("the client hangs up").expect("no panic");
    works_again(name, &client).await;
}

#[tokio::test]
async fn huge_headers_and_trailers() {
    let headers: Script = |raw| {
        let huge = [response(), ballast(24 << 10)].concat();
        Box::pin(once(raw, block(0, 1, &huge)))
    };
    check("headers over the limit", headers, Code::Internal).await;
    let trailers: Script = |raw| {
        let mut bytes = block(0, 1, &response());
        bytes.extend(frame(DATA, 0, 1, &message()));
        let huge = [ballast(24 << 10), literal("grpc-status", "0")].concat();
        bytes.extend(block(END_STREAM, 1, &huge));
        Box::pin(once(raw, bytes))
    };
    check("trailers over the limit", trailers, Code::Internal).await;
    let far_over: Script = |raw| {
        let mut bytes = begun();
        bytes.extend(block(END_STREAM, 1, &ballast(4 << 20)));
        Box::pin(once(raw, bytes))
    };
    check("trailers far over the limit", far_over, Code::Unavailable).await;
    let endless: Script = |mut raw| {
        Box::pin(async move {
            let mut bytes = begun();
            bytes.extend(frame(HEADERS, END_STREAM, 1, &ballast(1000)));
            let _ = raw.write(&bytes).await;
            raw.flood(&frame(CONTINUATION, 0, 1, &ballast(1000))).await
        })
    };
    check("trailers without an end", endless, Code::Unavailable).await;
}

/// CVE-2019-9518, and what RUSTSEC-2026-0258 was about.
#[tokio::test]
async fn empty_data_without_an_end() {
    let script: Script = |mut raw| {
        Box::pin(async move {
            let _ = raw.write(&begun()).await;
            raw.flood(&frame(DATA, 0, 1, &[]).repeat(1000)).await
        })
    };
    check("empty data without an end", script, Code::Unavailable).await;
}

#[tokio::test]
async fn a_message_of_four_gigabytes() {
    let script: Script = |raw| {
        let mut bytes = block(0, 1, &response());
        bytes.extend(frame(DATA, 0, 1, &[0, 0xff, 0xff, 0xff, 0xff]));
        Box::pin(once(raw, bytes))
    };
    check("a message of 4 GiB", script, Code::ResourceExhausted).await;
}

/// A server that ignores the window of a stream that nobody reads: what is too much is thrown away, not kept.
#[tokio::test]
async fn data_beyond_the_window() {
    let name = "data beyond the window";
    let script: Script = |raw| {
        let mut bytes = block(0, 1, &response());
        // As messages: empty ones, of five bytes each.
        bytes.extend(frame(DATA, 0, 1, &[0; 16_000]).repeat(2000));
        Box::pin(once(raw, bytes))
    };
    let (client, sent) = client_of(script).await;
    let options = CallOptions::default();
    let call = client.call("/t.T/X", Metadata::new(), options).await;
    let (_sender, mut receiver) = call.expect("it opens");
    has_hung_up(name, sent).await;
    let mut messages = Vec::new();
    let ended = loop {
        match receiver.next_batch(&mut messages).await {
            Ok(0) => panic!("the server did not say that the call succeeded"),
            Ok(_) => {}
            Err(error) => break error.status,
        }
    };
    assert_eq!(ended.code, Code::Internal);
    let window = Http2ClientConfig::default().stream_window_bytes as usize;
    let kept = 5 * messages.len();
    assert!(kept <= window, "{kept} bytes were kept of one stream");
    works_again(name, &client).await;
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_message() {
    let script: Script = |raw| {
        let mut bytes = begun();
        bytes.extend(reset(1, INTERNAL_ERROR));
        Box::pin(once(raw, bytes))
    };
    check("a reset in mid-message", script, Code::Internal).await;
    let gone: Script = |raw| Box::pin(once(raw, begun()));
    check("a connection lost in mid-message", gone, Code::Unavailable).await;
}

/// What breaks the rules of the connection ends it, and all calls on it.
#[tokio::test]
async fn frames_that_no_server_may_send() {
    let idle: Script = |raw| Box::pin(once(raw, reset(99, INTERNAL_ERROR)));
    check("a reset of a stream that is not", idle, Code::Unavailable).await;
    let data: Script = |raw| Box::pin(once(raw, frame(DATA, 0, 99, &[0])));
    check("data of a stream that is not", data, Code::Unavailable).await;
    let promise: Script = |raw| {
        let payload = [&2_u32.to_be_bytes()[..], &response()].concat();
        Box::pin(once(raw, frame(PUSH_PROMISE, 4, 1, &payload)))
    };
    check("a promise nobody asked for", promise, Code::Unavailable).await;
    let window: Script = |raw| {
        let most = (u32::MAX >> 1).to_be_bytes();
        Box::pin(once(raw, frame(WINDOW_UPDATE, 0, 0, &most).repeat(2)))
    };
    check("a window over its bound", window, Code::Unavailable).await;
    let huge: Script = |raw| {
        let length = (2_u32 << 20).to_be_bytes();
        let bytes = [&length[1..], &[DATA, 0, 0, 0, 0, 1]].concat();
        Box::pin(once(raw, bytes))
    };
    check("a frame over its bound", huge, Code::Unavailable).await;
}

const PUSH_PROMISE: u8 = 5;
const WINDOW_UPDATE: u8 = 8;
const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];

/// A short time, within which a flood has filled whatever it can fill.
fn hasty() -> CallOptions {
    CallOptions {
        timeout: Some(Duration::from_millis(100)),
        ..CallOptions::default()
    }
}

/// CVE-2019-9512 and -9515: frames that have to be answered, by a server that reads no answers. The client stops reading
/// before it holds much, the call ends in its time, and clients of other servers do not notice.
#[tokio::test]
async fn floods_of_what_has_to_be_answered() {
    let settings: Script = |mut raw| {
        Box::pin(async move { raw.flood(&frame(SETTINGS, 0, 0, &[]).repeat(1000)).await })
    };
    let pings: Script = |mut raw| {
        Box::pin(async move { raw.flood(&frame(PING, 0, 0, &[0; 8]).repeat(1000)).await })
    };
    for (name, script) in [("settings", settings), ("pings", pings)] {
        let (client, sent) = client_of(script).await;
        let (metadata, message) = (Metadata::new(), Bytes::new());
        let call = client.unary("/t.T/X", metadata, message, hasty());
        let outcome = call.await.map_err(|status| status.code);
        assert_eq!(outcome, Err(Code::DeadlineExceeded), "{name}");
        let well: Script = |raw| Box::pin(once(raw, Vec::new()));
        let (other, _) = client_of(well).await;
        works_again(name, &other).await;
        client.begin_graceful_shutdown();
        has_hung_up(name, sent).await;
    }
}

/// Interim responses without an end are thrown away as they come.
#[tokio::test]
async fn interim_responses_without_an_end() {
    let script: Script = |mut raw| {
        Box::pin(async move {
            let hint = block(0, 1, &literal(":status", "103"));
            raw.flood(&hint.repeat(100)).await
        })
    };
    let (client, sent) = client_of(script).await;
    let (metadata, message) = (Metadata::new(), Bytes::new());
    let call = client.unary("/t.T/X", metadata, message, hasty());
    let outcome = call.await.map_err(|status| status.code);
    assert_eq!(outcome, Err(Code::DeadlineExceeded));
    client.begin_graceful_shutdown();
    // How much comes in that time is the machine's affair.
    let ended = tokio::time::timeout(HANG, sent).await;
    ended.expect("the client hangs up").expect("no panic");
}

/// A server that never lets the client send: senders block, nothing piles up, the deadline ends the call, and the server
/// is told.
#[tokio::test]
async fn a_window_of_zero_for_ever() {
    let script: Script = |mut raw| {
        Box::pin(async move {
            let payload = [&INITIAL_WINDOW_SIZE[..], &[0; 4]].concat();
            let _ = raw.write(&frame(SETTINGS, 0, 0, &payload)).await;
            let reset = raw.next(RST_STREAM).await;
            assert_eq!((reset.stream, reset.error()), (1, CANCEL));
            0
        })
    };
    let (client, sent) = client_of(script).await;
    let call = client.call("/t.T/X", Metadata::new(), hasty()).await;
    let (sender, mut receiver) = call.expect("it opens");
    let mut taken = 0;
    loop {
        match sender.try_send(Bytes::from_static(&[0; 1024])) {
            Ok(()) => taken += 1024,
            Err(SendError::Blocked) => sender.writable().await,
            Err(_) => break,
        }
    }
    // The first window, what HTTP/2 may hold beyond it, and the call's own.
    assert!(taken <= 1 << 20, "{taken} bytes were taken");
    let ended = receiver.next_batch(&mut Vec::new()).await;
    let code = ended.map_err(|error| error.status.code);
    assert_eq!(code, Err(Code::DeadlineExceeded));
    has_hung_up("a window of zero", sent).await;
}
