#!/usr/bin/env python3
"""The interop cases about compression, by a client that sees and sets the flag of every message.

    python wire_client.py --run server_compressed_unary http://127.0.0.1:10000
"""

import socket
from urllib.parse import urlsplit

from report import case, equal, main
from testing_protos import flag, messages, payload
from wire import PATIENCE_SECONDS, Wire, frame

INVALID_ARGUMENT = "3"


def call(url: str, method: str, *requests):
    """One call on a connection of its own; requests are pairs of a message and whether it goes compressed."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), PATIENCE_SECONDS) as connection:
        wire = Wire(connection, is_client=True)
        stream_id = wire.http.get_next_available_stream_id()
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": f"/grpc.testing.TestService/{method}",
            ":authority": address.netloc,
            "content-type": "application/grpc",
            "te": "trailers",
            "grpc-encoding": "gzip",
            "grpc-accept-encoding": "identity,gzip",
        }
        wire.send_headers(stream_id, headers)
        sent = b"".join(frame(message.SerializeToString(), compressed) for message, compressed in requests)
        wire.send(stream_id, sent, end=True)
        while stream_id not in wire.streams or not wire.streams[stream_id].ended:
            if not wire.turn():
                raise AssertionError("the connection ended before the call")
        return wire.streams[stream_id]


def answers(stream, kind) -> list:
    """The answers of a call that succeeded, each with whether it came compressed."""
    equal(stream.status[0], "0", f"status ({stream.status[1]})")
    return [(kind.FromString(message), compressed) for message, compressed in stream.messages()]


def large_request(**fields):
    return messages.SimpleRequest(response_size=314159, payload=payload(271828), **fields)


def counted(told: bool, size: int):
    return messages.StreamingInputCallRequest(expect_compressed=flag(told), payload=payload(size))


def large_answer(compressed: bool) -> list:
    return [(messages.SimpleResponse(payload=payload(314159)), compressed)]


@case
def client_compressed_unary(url: str) -> None:
    probe = call(url, "UnaryCall", (large_request(expect_compressed=flag(True)), False))
    equal(probe.status[0], INVALID_ARGUMENT, "status of the probe")
    client_compressed_unary_noprobe(url)


@case
def client_compressed_unary_noprobe(url: str) -> None:
    for compressed in (True, False):
        request = large_request(expect_compressed=flag(compressed))
        stream = call(url, "UnaryCall", (request, compressed))
        equal(answers(stream, messages.SimpleResponse), large_answer(False), "answer")


@case
def server_compressed_unary(url: str) -> None:
    for compressed in (True, False):
        request = large_request(response_compressed=flag(compressed))
        stream = call(url, "UnaryCall", (request, False))
        equal(answers(stream, messages.SimpleResponse), large_answer(compressed), "answer and its flag")


@case
def client_compressed_streaming(url: str) -> None:
    probe = call(url, "StreamingInputCall", (counted(True, 27182), False))
    equal(probe.status[0], INVALID_ARGUMENT, "status of the probe")
    client_compressed_streaming_noprobe(url)


@case
def client_compressed_streaming_noprobe(url: str) -> None:
    stream = call(url, "StreamingInputCall", (counted(True, 27182), True), (counted(False, 45904), False))
    expected = messages.StreamingInputCallResponse(aggregated_payload_size=73086)
    equal(answers(stream, messages.StreamingInputCallResponse), [(expected, False)], "answer")


@case
def server_compressed_streaming(url: str) -> None:
    wanted = ((31415, True), (92653, False))
    parameters = [messages.ResponseParameters(size=size, compressed=flag(told)) for size, told in wanted]
    request = messages.StreamingOutputCallRequest(response_parameters=parameters)
    stream = call(url, "StreamingOutputCall", (request, False))
    expected = [(messages.StreamingOutputCallResponse(payload=payload(size)), told) for size, told in wanted]
    equal(answers(stream, messages.StreamingOutputCallResponse), expected, "answers and their flags")


if __name__ == "__main__":
    main(__doc__)
