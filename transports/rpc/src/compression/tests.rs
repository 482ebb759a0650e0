//! Every encoding against generated messages and generated rubbish.

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::*;

fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Runs of one byte among bytes that do not repeat.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let run = (any::<u8>(), 1..3000_usize).prop_map(|(byte, count)| vec![byte; count]);
    let noise = vec(any::<u8>(), 0..200);
    vec(prop_oneof![run, noise], 0..12).prop_map(|parts| parts.concat())
}

/// S4-67: what was compressed is what comes out, in every encoding, and it is smaller.
#[test]
fn s4_67_what_goes_in_comes_out() {
    let test = |message: Vec<u8>| {
        for encoding in SUPPORTED_ENCODINGS.iter() {
            let Some(compressed) = compress(encoding, &message) else {
                continue;
            };
            prop_assert!(compressed.len() < message.len(), "{encoding:?}");
            let out = decompress(encoding, &compressed, message.len());
            prop_assert_eq!(out, Ok(message.clone().into()), "{:?}", encoding);
            let out = decompress(encoding, &compressed, message.len() - 1);
            prop_assert_eq!(out, Err(Violation::TooLarge), "{:?}", encoding);
        }
        Ok(())
    };
    runner(300).run(&messages(), test).expect("it holds");
}

#[test]
fn long_runs_become_small_in_every_encoding() {
    let message = vec![7; 300_000];
    for encoding in SUPPORTED_ENCODINGS
        .iter()
        .filter(|e| *e != Encoding::Identity)
    {
        let compressed = compress(encoding, &message).expect("it is smaller");
        assert!(
            compressed.len() < 1000,
            "{encoding:?}: {}",
            compressed.len()
        );
    }
}

#[test]
fn what_does_not_get_smaller_is_left_as_it_is() {
    let noise: Vec<u8> = (0..200_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for encoding in Encoding::ALL {
        for message in [&[][..], &[1], b"short text", &noise] {
            assert_eq!(compress(encoding, message), None, "{encoding:?}");
        }
    }
}

/// Rubbish, and what was once compressed and then changed or cut, is an error or some message within the limit.
#[test]
fn rubbish_never_panics_and_stays_in_bounds() {
    let strategy = (
        messages(),
        vec(any::<u8>(), 0..300),
        any::<prop::sample::Index>(),
        any::<u8>(),
    );
    let test = |(message, rubbish, place, xor): (Vec<u8>, Vec<u8>, prop::sample::Index, u8)| {
        for encoding in SUPPORTED_ENCODINGS.iter() {
            let mut changed = compress(encoding, &message).unwrap_or_default().to_vec();
            let mut cut = changed.clone();
            if !changed.is_empty() {
                let at = place.index(changed.len());
                changed[at] ^= xor;
                cut.truncate(at);
                prop_assert_eq!(
                    decompress(encoding, &cut, usize::MAX),
                    Err(Violation::Corrupt)
                );
            }
            for bytes in [&rubbish, &changed] {
                for bytes_max in [0, 100, 10_000] {
                    let out = decompress(encoding, bytes, bytes_max);
                    prop_assert!(out.map_or(0, |out| out.len()) <= bytes_max);
                }
            }
        }
        Ok(())
    };
    runner(300).run(&strategy, test).expect("it holds");
}

/// An empty message is one when it is compressed too, and the only one that passes a limit of 0 (S4-43).
#[cfg(all(feature = "gzip", feature = "zstd"))]
#[test]
fn s4_43_an_empty_message_passes_a_limit_of_nothing() {
    let empty = [
        (
            Encoding::Gzip,
            &b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x03\0\0\0\0\0\0\0\0\0"[..],
        ),
        (Encoding::Deflate, &b"\x78\x9c\x03\0\0\0\0\x01"[..]),
        (Encoding::Zstd, &b"\x28\xb5\x2f\xfd\x20\0\x01\0\0"[..]),
    ];
    for (encoding, bytes) in empty {
        let out = decompress(encoding, bytes, 0);
        assert_eq!(out, Ok(Bytes::new()), "{encoding:?}");
        let longer = [bytes, b"x"].concat();
        let out = decompress(encoding, &longer, 0);
        assert_eq!(
            out,
            Err(Violation::Corrupt),
            "{encoding:?}, with more behind"
        );
    }
    // A frame of zstd that does not say how long it is, of 5000 zeros.
    let unsaid = b"\x28\xb5\x2f\xfd\x00\x58\x43\x9c\0\0";
    let out = decompress(Encoding::Zstd, unsaid, 5000);
    assert_eq!(out, Ok(vec![0; 5000].into()));
    let out = decompress(Encoding::Zstd, unsaid, 4999);
    assert_eq!(out, Err(Violation::TooLarge));
}
