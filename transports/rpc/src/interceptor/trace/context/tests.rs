use headwater_proto::Metadata;

use super::{STATE_BYTES_MAX, TraceContext};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn metadata(entries: &[(&str, &str)]) -> Metadata {
    let mut metadata = Metadata::new();
    for (key, value) in entries {
        metadata.append(*key, *value).expect("valid metadata");
    }
    metadata
}

/// W3C Trace Context, 3.2.2 and 4.3.
#[test]
fn a_traceparent_is_read_and_written() {
    for (flags, written) in [("01", "01"), ("00", "00"), ("ff", "01"), ("02", "00")] {
        let text = format!("00-{TRACE}-{SPAN}-{flags}");
        let context: TraceContext = text.parse().expect(&text);
        assert_eq!(context.to_string(), format!("00-{TRACE}-{SPAN}-{written}"));
        assert_eq!(context.is_sampled(), written == "01", "{text}");
    }
    for later in [
        format!("01-{TRACE}-{SPAN}-01"),
        format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"),
    ] {
        let context: TraceContext = later.parse().expect(&later);
        assert_eq!(context.to_string(), format!("00-{TRACE}-{SPAN}-01"));
    }
}

#[test]
fn what_is_no_traceparent_is_refused() {
    let zeros = "0".repeat(32);
    for wrong in [
        String::new(),
        "-".repeat(55),
        format!("00-{TRACE}-{SPAN}"),
        format!("00-{TRACE}-{SPAN}-"),
        format!("00-{TRACE}-{SPAN}-1"),
        format!("00-{TRACE}-{SPAN}-01-"),
        format!("00-{TRACE}-{SPAN}-01-more"),
        format!("cc-{TRACE}-{SPAN}-01.more"),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("00-{zeros}-{SPAN}-01"),
        format!("00-{TRACE}-{}-01", &zeros[..16]),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{}-{SPAN}-01", &TRACE[1..]),
        format!("00-+{}-{SPAN}-01", &TRACE[1..]),
        format!(" 00-{TRACE}-{SPAN}-01"),
    ] {
        assert!(wrong.parse::<TraceContext>().is_err(), "{wrong:?}");
    }
}

#[test]
fn two_parents_are_none_and_a_state_that_is_too_long_is_left_out() {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let parent = ("traceparent", parent.as_str());
    assert_eq!(TraceContext::of(&metadata(&[parent, parent])), None);
    assert_eq!(TraceContext::of(&metadata(&[("tracestate", "a=1")])), None);
    for (bytes, is_kept) in [(STATE_BYTES_MAX, true), (STATE_BYTES_MAX + 1, false)] {
        let state = "s".repeat(bytes);
        let context = TraceContext::of(&metadata(&[parent, ("tracestate", &state)]));
        let context = context.expect("a valid parent");
        assert_eq!(context.state().is_some(), is_kept, "{bytes} bytes");
    }
}

#[test]
fn a_context_replaces_the_one_that_metadata_have() {
    let mut metadata = metadata(&[("traceparent", "x"), ("a", "b"), ("tracestate", "c=d")]);
    let context = TraceContext::root();
    context.write_to(&mut metadata);
    assert_eq!(metadata.len(), 2, "{metadata:?}");
    assert_eq!(TraceContext::of(&metadata), Some(context.clone()));
    let child = context.child();
    assert_eq!(child.trace_id(), context.trace_id());
    assert_ne!(child.span_id(), context.span_id());
    assert_ne!(TraceContext::root().trace_id(), context.trace_id());
}
