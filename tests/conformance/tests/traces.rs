//! Every transport shows both ends of a call the same parts and the same outcome.

use headwater_conformance::{
    SCENARIOS, TRANSPORTS, Transport,
    faulty::{FAULTY, Fault},
    scenario::Scenario,
    trace::{Difference, Lane, NO_END, Trace},
};

/// What both ends saw, on a runtime of its own; its clock stands still where it can.
fn record(scenario: &Scenario, transport: Transport) -> Trace {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(transport.is_within_process())
        .build()
        .expect("a runtime can be built");
    runtime.block_on(scenario.record(transport))
}

/// What each scenario shows in process, by which the other transports are measured.
fn expected() -> Vec<Trace> {
    let in_process = TRANSPORTS[0];
    assert!(in_process.is_within_process(), "the first is the measure");
    let traces = SCENARIOS
        .iter()
        .map(|scenario| record(scenario, in_process));
    traces.collect()
}

/// Where a transport first departs from what is expected, in each scenario in which it does.
fn differences(transport: Transport, expected: &[Trace]) -> Vec<(&'static str, Difference)> {
    let scenarios = SCENARIOS.iter().zip(expected);
    let differences = scenarios.filter_map(|(scenario, expected)| {
        let difference = record(scenario, transport).difference(expected)?;
        Some((scenario.name, difference))
    });
    differences.collect()
}

/// U-03: the parts that both ends see, with their bytes, and how the call ends, are those of the run within the process.
#[test]
fn u_03_every_transport_shows_the_same_parts_and_the_same_outcome() {
    let expected = expected();
    // Each on a thread of its own, for they wait for deadlines.
    let compared: Vec<_> = std::thread::scope(|scope| {
        let compare = |&transport| {
            let expected = &expected;
            (
                transport,
                scope.spawn(move || differences(transport, expected)),
            )
        };
        let running: Vec<_> = TRANSPORTS[1..].iter().map(compare).collect();
        let compared = running.into_iter().map(|(transport, running)| {
            let differences = running.join();
            (transport, differences.expect("the thread does not panic"))
        });
        compared.collect()
    });
    for (transport, differences) in compared {
        assert_eq!(differences, [], "{transport:?} is not as in process");
    }
}

/// U-03: what a transport gets wrong, the comparison finds, and says in which half of which call, and at which part.
#[test]
fn u_03_a_fault_in_one_transport_is_found() {
    let expected = expected();
    let found = |fault| {
        let (_, transport) = FAULTY.iter().find(|(other, _)| *other == fault)?;
        Some(differences(*transport, &expected))
    };
    let sound = found(Fault::None).expect("it is listed");
    assert_eq!(sound, [], "the transport of the faults has none by itself");
    // For each: a call that shows it, the half and the part, and how what is found there begins.
    for (fault, scenario, lane, part, line) in [
        (
            Fault::BinaryMetadata,
            "metadata of a unary call",
            Lane::ServerReceives,
            0,
            "request /headwater.test.Control/Echo Unary timed: true [key: one]",
        ),
        (
            Fault::HalfClose,
            "both streaming",
            Lane::ClientReceives,
            6,
            NO_END,
        ),
        (
            Fault::Duplicate,
            "both streaming",
            Lane::ClientReceives,
            2,
            r#"message b"a""#,
        ),
        (
            Fault::TrailersOnly,
            "trailers only",
            Lane::ClientReceives,
            0,
            "headers ",
        ),
        (
            Fault::Loss,
            "an error after messages",
            Lane::ClientReceives,
            1,
            r#"message b"b""#,
        ),
        (
            Fault::TrailingMetadata,
            "half-closed before the status",
            Lane::ClientReceives,
            0,
            "end OK ",
        ),
        (
            Fault::Status,
            "an unknown method",
            Lane::ClientReceives,
            0,
            r#"end UNKNOWN "there is no method /headwater.test.Control/Nothing" details b"" "#,
        ),
        (
            Fault::Details,
            "rich details at once",
            Lane::ClientSends,
            2,
            r#"end INVALID_ARGUMENT "see there" details b"" "#,
        ),
        (
            Fault::Cancel,
            "cancelled before an answer",
            Lane::ClientReceives,
            2,
            NO_END,
        ),
        (
            Fault::Compressed,
            "compressed both ways",
            Lane::ClientReceives,
            2,
            r#"message b"\x1f\x8b"#,
        ),
    ] {
        let found = found(fault).expect("it is listed");
        let shown = found.iter().find(|(name, _)| *name == scenario);
        let (_, difference) =
            shown.unwrap_or_else(|| panic!("{fault:?} is overlooked: {found:#?}"));
        assert_eq!(
            (difference.lane, difference.part),
            (lane, part),
            "{fault:?}"
        );
        let found = difference.found.as_deref().unwrap_or_default();
        assert!(found.starts_with(line), "{fault:?}: {found}");
    }
    assert_eq!(FAULTY.len(), 11, "each is looked for");
}
