//! Events.

use alloc::{collections::BTreeMap, string::String};

use headwater_proto::{
    Status,
    v1::{self, event::Event},
    wps_rpc::{self, streaming_request::Request},
};

use super::{message, payload};

/// The event as the stream says it. Its `seq` is left out: there it is not settled by number. `None` for an event of a
/// kind that this version does not know.
///
/// # Errors
///
/// [`Code::InvalidArgument`](headwater_proto::Code::InvalidArgument) for a payload that is not what its type says, which no
/// hub sends.
pub fn streaming_request(
    event: v1::Event,
    hub: &str,
) -> Result<Option<wps_rpc::StreamingRequest>, Status> {
    let Some(kind) = event.event else {
        return Ok(None);
    };
    let v1::EventId {
        connection_id,
        number,
    } = event.id.unwrap_or_default();
    let connection = event.context.unwrap_or_default();
    let trace = event.trace.unwrap_or_default();
    let context = Some(wps_rpc::EventContext {
        event_id: number,
        redelivered: event.redelivered,
        user_id: connection.user_id,
        subprotocol: connection.subprotocol,
        state: connection.state,
        time_left_ms: event.time_left_ms,
        traceparent: trace.traceparent,
        tracestate: trace.tracestate,
        hub: hub.into(),
    });
    let request = match kind {
        Event::Connect(connect) => Request::ConnectRequest(wps_rpc::ConnectRequest {
            data: 0,
            connection_id,
            context,
            claims: values_out(connect.claims),
            query: values_out(connect.query),
            headers: values_out(connect.headers),
            subprotocols: connect.subprotocols,
            client_certificates: connect
                .client_certificates
                .into_iter()
                .map(certificate_out)
                .collect(),
        }),
        Event::Connected(v1::Connected {}) => {
            Request::ConnectedRequest(wps_rpc::ConnectedRequest {
                data: 0,
                connection_id,
                context,
            })
        }
        Event::Message(said) => Request::MessageRequest(wps_rpc::MessageRequest {
            data: 0,
            connection_id,
            context,
            name: said.name,
            message: said.payload.map(message).transpose()?,
            metadata: said.metadata,
        }),
        Event::Disconnected(disconnected) => {
            Request::DisconnectedRequest(wps_rpc::DisconnectedRequest {
                data: 0,
                connection_id,
                context,
                reason: disconnected.reason,
            })
        }
    };
    let request = Some(request);
    Ok(Some(wps_rpc::StreamingRequest { request }))
}

/// What the stream says as an event of this `seq`, which the stream does not have. The hub is left out. `None` for a kind
/// that this version does not know.
pub fn event(request: wps_rpc::StreamingRequest, seq: u64) -> Option<v1::Event> {
    let (connection_id, context, event) = match request.request? {
        Request::ConnectRequest(connect) => (
            connect.connection_id,
            connect.context,
            Event::Connect(v1::Connect {
                claims: values_in(connect.claims),
                query: values_in(connect.query),
                headers: values_in(connect.headers),
                subprotocols: connect.subprotocols,
                client_certificates: connect
                    .client_certificates
                    .into_iter()
                    .map(certificate_in)
                    .collect(),
            }),
        ),
        Request::ConnectedRequest(connected) => (
            connected.connection_id,
            connected.context,
            Event::Connected(v1::Connected {}),
        ),
        Request::MessageRequest(said) => (
            said.connection_id,
            said.context,
            Event::Message(v1::Message {
                name: said.name,
                payload: said.message.and_then(payload),
                metadata: said.metadata,
            }),
        ),
        Request::DisconnectedRequest(disconnected) => (
            disconnected.connection_id,
            disconnected.context,
            Event::Disconnected(v1::Disconnected {
                reason: disconnected.reason,
            }),
        ),
    };
    let context = context.unwrap_or_default();
    let trace = v1::TraceContext {
        traceparent: context.traceparent,
        tracestate: context.tracestate,
    };
    Some(v1::Event {
        seq,
        id: Some(v1::EventId {
            connection_id,
            number: context.event_id,
        }),
        redelivered: context.redelivered,
        context: Some(v1::ConnectionContext {
            user_id: context.user_id,
            subprotocol: context.subprotocol,
            state: context.state,
        }),
        time_left_ms: context.time_left_ms,
        trace: (trace != v1::TraceContext::default()).then_some(trace),
        event: Some(event),
    })
}

fn values_out(map: BTreeMap<String, v1::Values>) -> BTreeMap<String, wps_rpc::Values> {
    let out = |v1::Values { values }| wps_rpc::Values { values };
    map.into_iter()
        .map(|(name, values)| (name, out(values)))
        .collect()
}

fn values_in(map: BTreeMap<String, wps_rpc::Values>) -> BTreeMap<String, v1::Values> {
    let taken = |wps_rpc::Values { values }| v1::Values { values };
    map.into_iter()
        .map(|(name, values)| (name, taken(values)))
        .collect()
}

fn certificate_out(certificate: v1::ClientCertificate) -> wps_rpc::ClientCertificate {
    wps_rpc::ClientCertificate {
        thumbprint: certificate.thumbprint,
        content: certificate.content,
    }
}

fn certificate_in(certificate: wps_rpc::ClientCertificate) -> v1::ClientCertificate {
    v1::ClientCertificate {
        thumbprint: certificate.thumbprint,
        content: certificate.content,
    }
}
