//! What an event shows as its connection's state, beside other apps that store one.

use super::*;

/// An event as the service sends it while it knows this state.
fn shows(event: v1::Event, state: &'static str) -> Said {
    let context = v1::ConnectionContext {
        state: state.into(),
        ..v1::ConnectionContext::default()
    };
    Said::Event(Box::new(v1::Event {
        context: Some(context),
        ..event
    }))
}

/// The one event that starts, with what it shows.
fn starts(bench: &mut Bench) -> (Delivery, bytes::Bytes) {
    let outputs = bench.drain();
    let mut started = outputs.into_iter().filter_map(|output| {
        let Output::Start { delivery, event } = output else {
            return None;
        };
        Some((delivery, event.context.unwrap_or_default().state))
    });
    let one = started.next().expect("an event starts");
    assert_eq!(started.next(), None, "no more than one");
    one
}

fn stores(bench: &mut Bench, delivery: Delivery, state: &'static str) {
    let reply = v1::Reply {
        payload: None,
        state: Some(state.into()),
    };
    bench.link.reply(delivery, reply).expect("it runs");
    bench.link.done(delivery).expect("it runs");
}

/// Several apps may store a connection's state, and each sees the latest.
#[test]
fn what_another_app_stored_since_is_shown() {
    let mut bench = Bench::registered();
    bench.say(shows(message(1, "a", 1), "0"));
    let (first, _) = starts(&mut bench);
    stores(&mut bench, first, "ours");
    bench.drain();
    bench.say(shows(message(2, "a", 3), "theirs"));
    let (second, state) = starts(&mut bench);
    assert_eq!(state, "theirs", "the message between was another app's");
    bench
        .link
        .reply(second, v1::Reply::default())
        .expect("runs");
    bench.link.done(second).expect("runs");
    bench.drain();
    bench.say(shows(message(3, "a", 4), "0"));
    assert_eq!(starts(&mut bench).1, "0", "they have put it back");
}

#[test]
fn what_left_before_several_answers_shows_the_last() {
    let mut bench = Bench::registered();
    bench.say(shows(message(1, "a", 1), "0"));
    bench.say(shows(message(2, "a", 2), "0"));
    bench.say(shows(message(3, "a", 3), "1"));
    bench.say(shows(message(4, "a", 4), "2"));
    let (first, _) = starts(&mut bench);
    stores(&mut bench, first, "1");
    let (second, state) = starts(&mut bench);
    assert_eq!(state, "1");
    stores(&mut bench, second, "2");
    let (third, state) = starts(&mut bench);
    assert_eq!(state, "2", "it left between the two answers");
    stores(&mut bench, third, "3");
    assert_eq!(starts(&mut bench).1, "3");
}

#[test]
fn a_state_ends_with_its_connection_and_after_its_time() {
    let mut bench = Bench::registered();
    for (seq, connection) in [(1, "a"), (2, "b")] {
        bench.say(shows(message(seq, connection, 1), "0"));
        let (delivery, _) = starts(&mut bench);
        stores(&mut bench, delivery, "1");
        bench.drain();
    }
    let gone = Kind::Disconnected(v1::Disconnected::default());
    bench.say(shows(event(3, "a", 2, gone), "0"));
    let (last, state) = starts(&mut bench);
    assert_eq!(state, "1", "the last event sees it");
    bench.link.done(last).expect("runs");
    bench.drain();
    bench.say(shows(message(4, "a", 1), "0"));
    assert_eq!(starts(&mut bench).1, "0", "another one of the same name");

    bench.now = Time::after_start(Duration::from_secs(60));
    bench.say(shows(message(5, "b", 2), "0"));
    assert_eq!(
        starts(&mut bench).1,
        "0",
        "no event is under way for so long"
    );
}
