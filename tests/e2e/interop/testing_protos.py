"""The messages and stubs of `grpc.testing`, compiled at start from the repository's `.proto` files."""

import pathlib
import sys

import grpc

PROTOS = pathlib.Path(__file__).resolve().parents[3] / "examples/proto"
sys.path.append(str(PROTOS))
# `grpc` is grpcio's own package already; so it is told where its part `grpc.testing` is.
grpc.__path__.append(str(PROTOS / "grpc"))

messages = grpc.protos("grpc/testing/messages.proto")
empty = grpc.protos("grpc/testing/empty.proto")
services = grpc.services("grpc/testing/test.proto")

# The keys whose values the server sends back: the first with its headers, the second with its trailers.
ECHO_INITIAL = "x-grpc-test-echo-initial"
ECHO_TRAILING = "x-grpc-test-echo-trailing-bin"


def payload(size: int):
    """This many zeros."""
    return messages.Payload(body=bytes(size))


def flag(value: bool):
    """A bool that is set, also when it is false."""
    return messages.BoolValue(value=value)
