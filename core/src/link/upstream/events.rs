//! What an event says that the lanes need to know.

use alloc::sync::Arc;
use core::time::Duration;

use bytes::Bytes;
use headwater_proto::v1;

use super::lanes::Kind;

/// The connection of an event, its number, and what it wants back; `None` if this version cannot tell.
pub(super) fn whose(event: &v1::Event) -> Option<(Arc<str>, u64, Kind)> {
    let kind = Kind::of(event.event.as_ref()?);
    let id = event.id.as_ref()?;
    Some((id.connection_id.as_str().into(), id.number, kind))
}

/// For how long the client waits for it.
pub(super) const fn waited_for(event: &v1::Event) -> Option<Duration> {
    match event.time_left_ms {
        0 => None,
        left => Some(Duration::from_millis(left as u64)),
    }
}

/// What an event counts for in the window: what the client put into it.
pub(super) fn event_bytes(event: &v1::Event) -> u64 {
    let Some(v1::event::Event::Message(message)) = &event.event else {
        return 0;
    };
    let payload = message.payload.as_ref();
    payload.map_or(0, |payload| payload.data.len() as u64)
}

/// The state that an event shows.
pub(super) fn shown_state(event: &v1::Event) -> Bytes {
    let context = event.context.as_ref();
    context.map_or_else(Bytes::new, |context| context.state.clone())
}
