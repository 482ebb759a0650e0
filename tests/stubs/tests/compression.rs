//! Compression, message by message, of typed calls.

use headwater_conformance::{Fixture, for_each_transport};
use headwater_rpc::{
    CallOptions, Compress, Encoding, Encodings, IncomingCall, Metadata,
    stub::{Messages, ProstCodec, Sink},
};

const PATH: &str = "/compression.Test/Echo";

/// Answers each message as it came: compressed or not.
async fn echo(call: IncomingCall) {
    let mut requests = Messages::<String>::new::<ProstCodec>(call.receiver);
    let responses = Sink::<String>::new::<ProstCodec>(call.sender);
    let chosen = responses.set_compression(Encoding::Gzip);
    chosen.expect("nothing was sent before");
    while let Ok(Some(message)) = requests.message().await {
        let compress = if requests.was_compressed() {
            Compress::Auto
        } else {
            Compress::Never
        };
        let sent = responses.send_with(message, compress).await;
        sent.expect("the client reads");
    }
}

/// S4-67: compression per message.
#[test]
fn s4_67_typed_halves_choose_and_tell_for_each_message() {
    for_each_transport(async |transport| {
        let fixture = Fixture::new(transport).await;
        fixture.router.stream(PATH, echo);
        let options = CallOptions {
            compression: Encoding::Gzip,
            accepted_encodings: Encodings::ALL,
            ..CallOptions::default()
        };
        let call = fixture.client.call(PATH, Metadata::new(), options).await;
        let (sender, receiver) = call.expect("the call opens");
        let sink = Sink::<String>::new::<ProstCodec>(sender);
        let mut messages = Messages::<String>::new::<ProstCodec>(receiver);
        assert!(!messages.was_compressed(), "nothing came yet");
        let long = "long ".repeat(100);
        for compress in [Compress::Auto, Compress::Never, Compress::Auto] {
            let sent = sink.send_with(long.clone(), compress).await;
            sent.expect("the call is open");
        }
        let mut came_compressed = Vec::new();
        for _ in 0..3 {
            let message = messages.message().await.expect("the call is open");
            assert_eq!(message.as_ref(), Some(&long));
            came_compressed.push(messages.was_compressed());
        }
        assert_eq!(came_compressed, [true, false, true], "as they were sent");
    });
}
