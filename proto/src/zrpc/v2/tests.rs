use alloc::{boxed::Box, string::String, vec};

use proptest::prelude::*;

use super::*;

fn frame(call: u32, body: Body<'_>) -> Frame<'_> {
    Frame { call, body }
}

fn bytes(frame: &Frame<'_>) -> Bytes {
    let mut out = Vec::new();
    frame.encode(&mut out);
    out.into()
}

fn metadata() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.append("user", "ann").expect("valid");
    metadata
        .append_bytes("trace-bin", vec![0, 0xff])
        .expect("valid");
    metadata
}

fn failed() -> Ended {
    Ended {
        outcome: Err(Status {
            details: Bytes::from_static(b"\x08\x05"),
            ..Status::new(Code::NotFound, "nobody\nhere")
        }),
        metadata: metadata(),
    }
}

#[test]
fn s2_21_every_frame_has_its_golden_bytes() {
    let world = Bytes::from_static(b"world");
    let call = Body::Call {
        method: "echo",
        blob: world.clone(),
    };
    let open = Body::Open {
        method: "echo",
        timeout: Some(Duration::from_millis(1500)),
        metadata: metadata(),
    };
    let golden: [(Frame<'_>, &[u8]); 9] = [
        (frame(7, call), b"\x01\x07\0\0\0\x04\0\0\0echoworld"),
        (
            frame(8, open),
            b"\x02\x08\0\0\0\x04\0\0\0echogrpc-timeout: 1500000u\nuser: ann\ntrace-bin: AP8\n",
        ),
        (frame(0x0102_0304, Body::Message(world.clone())), b"\x03\x04\x03\x02\x01world"),
        (frame(1, Body::Compressed(world)), b"\x04\x01\0\0\0world"),
        (frame(1, Body::End), b"\x05\x01\0\0\0"),
        (frame(1, Body::Cancel), b"\x06\x01\0\0\0"),
        (frame(1, Body::Credit(65_536)), b"\x07\x01\0\0\0\0\0\x01\0"),
        (frame(1, Body::Headers(metadata())), b"\x08\x01\0\0\0user: ann\ntrace-bin: AP8\n"),
        (
            frame(0, Body::Status(Box::new(failed()))),
            b"\x09\0\0\0\0\x05\x0b\0\0\0nobody\nheregrpc-status-details-bin: CAU\nuser: ann\ntrace-bin: AP8\n",
        ),
    ];
    for (frame, golden) in golden {
        let encoded = bytes(&frame);
        assert_eq!(encoded, golden, "{:?}", String::from_utf8_lossy(&encoded));
        assert_eq!(Frame::decode(&encoded), Ok(frame));
    }
    let well = Ended {
        outcome: Ok(()),
        metadata: Metadata::new(),
    };
    let well = frame(1, Body::Status(Box::new(well)));
    assert_eq!(bytes(&well), &b"\x09\x01\0\0\0\0\0\0\0\0"[..]);
    assert_eq!(Frame::decode(&bytes(&well)), Ok(well));
}

/// S2-40, S2-41, S2-42: the same input is as wrong with a call id.
#[test]
fn s2_40_s2_41_s2_42_broken_frames_are_refused() {
    let table: [(&[u8], FrameError); 14] = [
        (b"", FrameError::Short),
        (b"\x05\x01\0\0", FrameError::Short),
        (b"\x01\x01\0\0\0\x04\0\0", FrameError::Short),
        (b"\x07\x01\0\0\0\x01\0\0", FrameError::Short),
        (b"\x09\x01\0\0\0", FrameError::Short),
        (b"\x01\x01\0\0\0\x05\0\0\0echo", FrameError::Length),
        (b"\x02\x01\0\0\0\x01\0\0\0\xff", FrameError::NotUtf8),
        (b"\x00\x01\0\0\0", FrameError::Kind),
        (b"\x0a\x01\0\0\0", FrameError::Kind),
        (b"\x05\x01\0\0\0x", FrameError::Long),
        (b"\x07\x01\0\0\0\x01\0\0\0x", FrameError::Long),
        (b"\x05\0\0\0\0", FrameError::Id),
        (b"\x08\x01\0\0\0no line", FrameError::Metadata),
        (
            b"\x02\x01\0\0\0\0\0\0\0grpc-timeout: soon\n",
            FrameError::Metadata,
        ),
    ];
    for (wrong, error) in table {
        let wrong = Bytes::from_static(wrong);
        assert_eq!(Frame::decode(&wrong), Err(error), "{wrong:?}");
        assert_eq!(error.status().code, Code::InvalidArgument);
    }
}

#[test]
fn what_a_call_is_opened_with_is_bounded_and_reserved_keys_are_no_metadata() {
    let mut long = b"\x02\x01\0\0\0\0\0\0\0".to_vec();
    long.extend_from_slice("a: b\n".repeat(LINES_BYTES_MAX / 5 + 1).as_bytes());
    assert_eq!(Frame::decode(&long.into()), Err(FrameError::Metadata));
    for (short, entry_bytes) in [("a:\n", 33), ("a-bin:,\n", 2 * 37)] {
        let fits = LINES_BYTES_MAX / entry_bytes;
        let opening = |entries| {
            let mut message = b"\x02\x01\0\0\0\0\0\0\0".to_vec();
            message.extend_from_slice(short.repeat(entries).as_bytes());
            Bytes::from(message)
        };
        assert!(Frame::decode(&opening(fits)).is_ok(), "{short}");
        let many = opening(fits + 1);
        assert!(many.len() < LINES_BYTES_MAX, "its bytes are few");
        assert_eq!(Frame::decode(&many), Err(FrameError::Metadata), "{short}");
    }
    let reserved = Bytes::from_static(b"\x08\x01\0\0\0te: trailers\na:b\n");
    let mut metadata = Metadata::new();
    metadata.append("a", "b").expect("valid");
    assert_eq!(
        Frame::decode(&reserved),
        Ok(frame(1, Body::Headers(metadata)))
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(kind in 0_u8..12, rest in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut message = vec![kind, 1, 0, 0, 0];
        message.extend_from_slice(&rest);
        let message = Bytes::from(message);
        if let Ok(frame) = Frame::decode(&message) {
            let again = bytes(&frame);
            prop_assert_eq!(Frame::decode(&again), Ok(frame));
        }
        let _ = Frame::decode(&Bytes::from(rest));
    }
}
