//! Headwater's HTTP/3 transport: the gRPC wire format over QUIC (gRFC G2).
