#!/usr/bin/env python3
"""The published gRPC interop cases, by a client on grpcio.

    python python_client.py --run large_unary,ping_pong http://127.0.0.1:10000
"""

import queue
from urllib.parse import urlsplit

import grpc
from report import ROOTS, Cannot, case, equal, main
from testing_protos import ECHO_INITIAL, ECHO_TRAILING, empty, flag, messages, payload, services

PATIENCE_SECONDS = 20
SOAK_ITERATIONS = 10
REQUEST_SIZES = (27182, 8, 1828, 45904)
RESPONSE_SIZES = (31415, 9, 2653, 58979)
PLAIN, GZIP = grpc.Compression.NoCompression, grpc.Compression.Gzip
FLAGS_HIDDEN = "grpcio shows no message flags; the sizes of the answers are right"


class Requests:
    """The requests of a streaming call, given one by one; the call is half-closed by `finish`."""

    def __init__(self, *first) -> None:
        self.waiting = queue.SimpleQueue()
        for request in first:
            self.waiting.put(request)

    def __iter__(self):
        return iter(self.waiting.get, None)

    def put(self, request) -> None:
        self.waiting.put(request)

    def finish(self):
        self.waiting.put(None)
        return self


def channel(url: str, options=None):
    address = urlsplit(url)
    if address.scheme == "https":
        trusted = grpc.ssl_channel_credentials(ROOTS.get("pem"))
        return grpc.secure_channel(address.netloc, trusted, options=options)
    return grpc.insecure_channel(address.netloc, options=options)


def connected(run):
    """A case that runs on the stub of one channel."""

    def on_stub(url: str) -> None:
        with channel(url) as connection:
            run(services.TestServiceStub(connection))

    on_stub.__name__ = run.__name__
    return case(on_stub)


def fails(call, code, message=None) -> None:
    """Has `call` end with this status."""
    try:
        call()
    except grpc.RpcError as error:
        equal(error.code(), code, "status")
        if message is not None:
            equal(error.details(), message, "message of the status")
        return
    raise AssertionError(f"expected {code}, and the call succeeded")


def large_request(**fields):
    return messages.SimpleRequest(response_size=314159, payload=payload(271828), **fields)


def large(stub, request=None, **options) -> None:
    answer = stub.UnaryCall(request or large_request(), timeout=PATIENCE_SECONDS, **options)
    equal(answer, messages.SimpleResponse(payload=payload(314159)), "answer")


def wanted(size: int, **fields):
    return messages.ResponseParameters(size=size, **fields)


def duplex(size: int, bytes_sent: int):
    return messages.StreamingOutputCallRequest(response_parameters=[wanted(size)], payload=payload(bytes_sent))


def sizes(answers) -> list:
    return [len(answer.payload.body) for answer in answers]


@connected
def empty_unary(stub) -> None:
    equal(stub.EmptyCall(empty.Empty(), timeout=PATIENCE_SECONDS), empty.Empty(), "answer")


@connected
def large_unary(stub) -> None:
    large(stub)


@connected
def client_streaming(stub) -> None:
    requests = (messages.StreamingInputCallRequest(payload=payload(size)) for size in REQUEST_SIZES)
    answer = stub.StreamingInputCall(requests, timeout=PATIENCE_SECONDS)
    equal(answer.aggregated_payload_size, 74922, "aggregated payload size")


@connected
def server_streaming(stub) -> None:
    request = messages.StreamingOutputCallRequest(response_parameters=map(wanted, RESPONSE_SIZES))
    answers = stub.StreamingOutputCall(request, timeout=PATIENCE_SECONDS)
    equal(sizes(answers), list(RESPONSE_SIZES), "sizes")


@connected
def ping_pong(stub) -> None:
    requests = Requests()
    call = stub.FullDuplexCall(iter(requests), timeout=PATIENCE_SECONDS)
    for bytes_sent, size in zip(REQUEST_SIZES, RESPONSE_SIZES):
        requests.put(duplex(size, bytes_sent))
        equal(len(next(call).payload.body), size, "size")
    requests.finish()
    equal(list(call), [], "further answers")


@connected
def empty_stream(stub) -> None:
    call = stub.FullDuplexCall(iter(Requests().finish()), timeout=PATIENCE_SECONDS)
    equal(list(call), [], "answers")


@connected
def custom_metadata(stub) -> None:
    sent = ((ECHO_INITIAL, "test_initial_metadata_value"), (ECHO_TRAILING, b"\xab\xab\xab"))
    _, unary = stub.UnaryCall.with_call(large_request(), metadata=sent, timeout=PATIENCE_SECONDS)
    requests = Requests(duplex(314159, 271828)).finish()
    stream = stub.FullDuplexCall(iter(requests), metadata=sent, timeout=PATIENCE_SECONDS)
    equal(sizes(stream), [314159], "sizes")
    for call in (unary, stream):
        equal(dict(call.initial_metadata()).get(ECHO_INITIAL), sent[0][1], "initial metadata")
        equal(dict(call.trailing_metadata()).get(ECHO_TRAILING), sent[1][1], "trailing metadata")


def echo_status(stub, message: str, also_duplex: bool) -> None:
    status = messages.EchoStatus(code=2, message=message)
    unary = messages.SimpleRequest(response_status=status)
    fails(lambda: stub.UnaryCall(unary, timeout=PATIENCE_SECONDS), grpc.StatusCode.UNKNOWN, message)
    if also_duplex:
        requests = Requests(messages.StreamingOutputCallRequest(response_status=status)).finish()
        call = stub.FullDuplexCall(iter(requests), timeout=PATIENCE_SECONDS)
        fails(lambda: list(call), grpc.StatusCode.UNKNOWN, message)


@connected
def status_code_and_message(stub) -> None:
    echo_status(stub, "test status message", also_duplex=True)


@connected
def special_status_message(stub) -> None:
    message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
    echo_status(stub, message, also_duplex=False)


@connected
def unimplemented_method(stub) -> None:
    call = lambda: stub.UnimplementedCall(empty.Empty(), timeout=PATIENCE_SECONDS)
    fails(call, grpc.StatusCode.UNIMPLEMENTED)


@case
def unimplemented_service(url: str) -> None:
    with channel(url) as connection:
        stub = services.UnimplementedServiceStub(connection)
        call = lambda: stub.UnimplementedCall(empty.Empty(), timeout=PATIENCE_SECONDS)
        fails(call, grpc.StatusCode.UNIMPLEMENTED)


@connected
def cancel_after_begin(stub) -> None:
    requests = Requests()
    call = stub.StreamingInputCall.future(iter(requests), timeout=PATIENCE_SECONDS)
    call.cancel()
    equal(call.code(), grpc.StatusCode.CANCELLED, "status")
    requests.finish()


@connected
def cancel_after_first_response(stub) -> None:
    requests = Requests(duplex(31415, 27182))
    call = stub.FullDuplexCall(iter(requests), timeout=PATIENCE_SECONDS)
    equal(len(next(call).payload.body), 31415, "size")
    call.cancel()
    fails(lambda: next(call), grpc.StatusCode.CANCELLED)
    requests.finish()


@connected
def timeout_on_sleeping_server(stub) -> None:
    requests = Requests(messages.StreamingOutputCallRequest(payload=payload(27182)))
    call = stub.FullDuplexCall(iter(requests), timeout=0.001)
    fails(lambda: list(call), grpc.StatusCode.DEADLINE_EXCEEDED)
    requests.finish()


@connected
def client_compressed_unary(stub) -> None:
    probe = lambda: large(stub, large_request(expect_compressed=flag(True)), compression=PLAIN)
    fails(probe, grpc.StatusCode.INVALID_ARGUMENT)
    compressed_and_not(stub)


@connected
def client_compressed_unary_noprobe(stub) -> None:
    compressed_and_not(stub)


def compressed_and_not(stub) -> None:
    large(stub, large_request(expect_compressed=flag(True)), compression=GZIP)
    large(stub, large_request(expect_compressed=flag(False)), compression=PLAIN)


@connected
def server_compressed_unary(stub) -> None:
    for compressed in (True, False):
        large(stub, large_request(response_compressed=flag(compressed)))
    raise Cannot(FLAGS_HIDDEN)


@connected
def client_compressed_streaming(stub) -> None:
    fails(lambda: send_stream(stub, PLAIN, True, [27182]), grpc.StatusCode.INVALID_ARGUMENT)
    compressed_streams(stub)


@connected
def client_compressed_streaming_noprobe(stub) -> None:
    compressed_streams(stub)


def compressed_streams(stub) -> None:
    for compression, told in ((GZIP, True), (PLAIN, False)):
        answer = send_stream(stub, compression, told, [27182, 45904])
        equal(answer.aggregated_payload_size, 73086, "aggregated payload size")
    raise Cannot("grpcio compresses all requests of a call or none; one call of each kind was right")


def send_stream(stub, compression, told: bool, each: list):
    request = lambda size: messages.StreamingInputCallRequest(expect_compressed=flag(told), payload=payload(size))
    return stub.StreamingInputCall(map(request, each), compression=compression, timeout=PATIENCE_SECONDS)


@connected
def server_compressed_streaming(stub) -> None:
    parameters = [wanted(31415, compressed=flag(True)), wanted(92653, compressed=flag(False))]
    request = messages.StreamingOutputCallRequest(response_parameters=parameters)
    answers = stub.StreamingOutputCall(request, timeout=PATIENCE_SECONDS)
    equal(sizes(answers), [31415, 92653], "sizes")
    raise Cannot(FLAGS_HIDDEN)


@connected
def rpc_soak(stub) -> None:
    for _ in range(SOAK_ITERATIONS):
        large(stub)


@case
def channel_soak(url: str) -> None:
    # A channel of its own each time, also below: else grpcio shares one connection among them.
    own = [("grpc.use_local_subchannel_pool", 1)]
    for _ in range(SOAK_ITERATIONS):
        with channel(url, own) as connection:
            large(services.TestServiceStub(connection))


if __name__ == "__main__":
    main(__doc__)
