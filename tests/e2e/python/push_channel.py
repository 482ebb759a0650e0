"""Clients of the push channel, made by grpcio-tools of their own `.proto`.

All versions have the same names, so a process can load one of them.

As a program it is a consumer: `push_channel.py ADDRESS CHANNEL` prints each message on a line of its own.
"""

import pathlib
import sys
import threading
import time

import grpc
import jwt
from programs import PATIENCE_SECONDS, ROOT, Inbox, Program

sys.path.append(str(pathlib.Path(__file__).resolve().parent / "protos"))
sys.path.append(str(ROOT / "proto"))


def load(version: str):
    """The messages and services of `push` or `push_chat`, or those of the service's own text, `headwater/push_channel`."""
    return grpc.protos_and_services(f"{version}.proto")


def bearer(service, key, **claims) -> list:
    """What an application sends with each call, if its token has these claims beside the usual ones."""
    endpoint = service.connection_string.split("Endpoint=")[1].split(";")[0]
    claims = {"aud": f"{endpoint}/upstream", "exp": int(time.time()) + 600, **claims}
    return [("authorization", f"Bearer {jwt.encode(claims, key, 'HS256')}")]


def address(service) -> str:
    return service.upstream.removeprefix("http://")


def connect(service, own_connection=True) -> grpc.Channel:
    options = [("grpc.use_local_subchannel_pool", int(own_connection))]
    return grpc.insecure_channel(address(service), options)


class Consumer:
    """One `PushMessageStream`; `texts` has what it got, `ended` the code that it ended with."""

    def __init__(self, stub, request, metadata=(), text=lambda reply: reply.message) -> None:
        self.texts, self.ended = Inbox(), Inbox()
        self.text = text
        self.call = stub.PushMessageStream(request, metadata=metadata)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for reply in self.call:
                self.texts.put(self.text(reply))
        except grpc.RpcError:
            pass
        self.ended.put(self.call.code())

    def wait_until_connected(self) -> None:
        self.call.initial_metadata()

    def take(self, count: int) -> list:
        """The next so many messages, in the order in which they came."""
        with self.texts.changed:
            enough = self.texts.changed.wait_for(lambda: len(self.texts.values) >= count, PATIENCE_SECONDS)
            assert enough, f"waited for {count} messages; there are {len(self.texts.values)}"
            taken = self.texts.values[:count]
            del self.texts.values[:count]
            return taken

    def end(self) -> grpc.StatusCode:
        return self.ended.take("the end of the consumer")


def start_consumer(service, channel: str) -> Program:
    """A consumer in a process of its own, with which anything may be done."""
    return Program(sys.executable, __file__, address(service), channel)


def main() -> None:
    messages, services = load("push")
    client = services.MessageSyncStub(grpc.insecure_channel(sys.argv[1]))
    response = client.PushMessageStream(messages.ConnRequest(channel=sys.argv[2]))
    for r in response:
        print(r.message, flush=True)


if __name__ == "__main__":
    main()
