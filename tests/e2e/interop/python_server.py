#!/usr/bin/env python3
"""`grpc.testing.TestService` on grpcio, for the clients of the interop cases.

    python python_server.py --listen http://127.0.0.1:0
"""

import argparse
import concurrent.futures
import signal
import time
from urllib.parse import urlsplit

import grpc
from testing_protos import ECHO_INITIAL, ECHO_TRAILING, empty, messages, payload, services

HIDDEN = "grpcio shows its handlers no message flags, so an uncompressed probe cannot be refused"
CODES = {code.value[0]: code for code in grpc.StatusCode}


def echo_metadata(context) -> None:
    for key, value in context.invocation_metadata():
        if key == ECHO_INITIAL:
            context.send_initial_metadata(((key, value),))
        if key == ECHO_TRAILING:
            context.set_trailing_metadata(((key, value),))


def echo_status(request, context) -> None:
    status = request.response_status
    if status.code:
        context.abort(CODES[status.code], status.message)


class TestService(services.TestServiceServicer):
    def EmptyCall(self, request, context):
        echo_metadata(context)
        return empty.Empty()

    def UnaryCall(self, request, context):
        if request.response_compressed.value:
            context.set_compression(grpc.Compression.Gzip)
        echo_metadata(context)
        echo_status(request, context)
        return messages.SimpleResponse(payload=payload(request.response_size))

    def StreamingInputCall(self, requests, context):
        echo_metadata(context)
        sizes = sum(len(request.payload.body) for request in requests)
        return messages.StreamingInputCallResponse(aggregated_payload_size=sizes)

    def StreamingOutputCall(self, request, context):
        if any(wanted.compressed.value for wanted in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        echo_metadata(context)
        yield from self.answers(request, context)

    def FullDuplexCall(self, requests, context):
        echo_metadata(context)
        for request in requests:
            yield from self.answers(request, context)

    def HalfDuplexCall(self, requests, context):
        echo_metadata(context)
        for request in list(requests):
            yield from self.answers(request, context)

    @staticmethod
    def answers(request, context):
        echo_status(request, context)
        for wanted in request.response_parameters:
            time.sleep(wanted.interval_us / 1e6)
            if not wanted.compressed.value:
                context.disable_next_message_compression()
            yield messages.StreamingOutputCallResponse(payload=payload(wanted.size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", default="http://127.0.0.1:0", metavar="URL")
    address = urlsplit(parser.parse_args().listen)
    threads = concurrent.futures.ThreadPoolExecutor(max_workers=16)
    server = grpc.server(threads, options=[("grpc.so_reuseport", 0)])
    services.add_TestServiceServicer_to_server(TestService(), server)
    port = server.add_insecure_port(address.netloc)
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=1))
    print(f"listening http://{address.hostname}:{port}")
    print(f"cannot client_compressed_unary: {HIDDEN}")
    print(f"cannot client_compressed_streaming: {HIDDEN}")
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
