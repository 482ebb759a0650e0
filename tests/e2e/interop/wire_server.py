#!/usr/bin/env python3
"""The part of `grpc.testing.TestService` that the cases about compression call, on a server that sees and sets the flag
of every message.

    python wire_server.py --listen http://127.0.0.1:0
"""

import argparse
import signal
import socket
import sys
import threading
from urllib.parse import urlsplit

from testing_protos import messages, payload
from wire import Wire, frame

UNIMPLEMENTED, INVALID_ARGUMENT = "12", "3"


class Refused(Exception):
    """Ends a call with a status."""


def check_flags(requests: list) -> None:
    for request, compressed in requests:
        if request.HasField("expect_compressed") and request.expect_compressed.value != compressed:
            raise Refused(INVALID_ARGUMENT, f"compressed is {compressed}, and the request tells otherwise")


def parsed(stream, kind) -> list:
    return [(kind.FromString(message), compressed) for message, compressed in stream.messages()]


def unary_call(stream) -> list:
    requests = parsed(stream, messages.SimpleRequest)
    check_flags(requests)
    [(request, _)] = requests
    answer = messages.SimpleResponse(payload=payload(request.response_size))
    return [(answer, request.response_compressed.value)]


def streaming_input_call(stream) -> list:
    requests = parsed(stream, messages.StreamingInputCallRequest)
    check_flags(requests)
    size = sum(len(request.payload.body) for request, _ in requests)
    return [(messages.StreamingInputCallResponse(aggregated_payload_size=size), False)]


def streaming_output_call(stream) -> list:
    [(request, _)] = parsed(stream, messages.StreamingOutputCallRequest)
    return [
        (messages.StreamingOutputCallResponse(payload=payload(wanted.size)), wanted.compressed.value)
        for wanted in request.response_parameters
    ]


METHODS = {
    "/grpc.testing.TestService/UnaryCall": unary_call,
    "/grpc.testing.TestService/StreamingInputCall": streaming_input_call,
    "/grpc.testing.TestService/StreamingOutputCall": streaming_output_call,
}


def answer(wire: Wire, stream_id: int) -> None:
    stream = wire.streams.pop(stream_id)
    headers = {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-encoding": "gzip",
        "grpc-accept-encoding": "identity,gzip",
    }
    try:
        if stream.headers.get(":path") not in METHODS:
            raise Refused(UNIMPLEMENTED, "only what the cases about compression call is here")
        answers = METHODS[stream.headers[":path"]](stream)
    except Refused as refused:
        status, message = refused.args
        wire.send_headers(stream_id, {**headers, "grpc-status": status, "grpc-message": message}, end=True)
        return
    wire.send_headers(stream_id, headers)
    for message, compressed in answers:
        wire.send(stream_id, frame(message.SerializeToString(), compressed), end=False)
    wire.send_headers(stream_id, {"grpc-status": "0"}, end=True)


def serve(connection) -> None:
    with connection:
        wire = Wire(connection, is_client=False)
        while True:
            for stream_id in [stream_id for stream_id, stream in wire.streams.items() if stream.ended]:
                answer(wire, stream_id)
            try:
                if not wire.turn():
                    return
            except OSError:  # the client has gone, or says nothing more
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", default="http://127.0.0.1:0", metavar="URL")
    address = urlsplit(parser.parse_args().listen)
    listener = socket.create_server((address.hostname, address.port or 0))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"listening http://{address.hostname}:{listener.getsockname()[1]}")
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
