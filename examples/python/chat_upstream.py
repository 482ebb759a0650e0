#!/usr/bin/env python3
"""A chat application behind Headwater, in Python, on grpcio alone.

    python chat_upstream.py --service http://127.0.0.1:8081 --connection-string 'Endpoint=...;AccessKey=...;Version=1.0;'

It dials the service, registers for the hub `chat`, and holds one Link: events come in, acks and commands go out in one
ordered lane. Needs the packages grpcio and grpcio-tools; the code for the protocol is generated at start-up from the
`.proto` files. It does exactly what the Rust example `chat-upstream` does.
"""

import argparse
import base64
import hashlib
import hmac
import json
import pathlib
import queue
import signal
import sys
import tempfile
import threading
import time
from urllib.parse import urlsplit

import grpc
from grpc_tools import protoc

HUB = "chat"
LOBBY = "lobby"
# How long the service has to end a Link that is drained, before we close our half of it.
LINGER_SECONDS = 5
PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
# A status of these codes says that trying again changes nothing.
HOPELESS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT)


def generate(into: str) -> None:
    """Compiles the protocol into Python modules and puts them on the path."""
    files = [str(path) for path in sorted(PROTO.glob("headwater/v1/*.proto"))]
    if protoc.main(["protoc", f"-I{PROTO}", f"--python_out={into}", f"--grpc_python_out={into}", *files]) != 0:
        sys.exit("cannot compile the .proto files")
    sys.path.insert(0, into)


def connection_string(text: str) -> dict:
    """`Endpoint=...;AccessKey=...;` as a dictionary with lower-case keys."""
    pairs = (part.split("=", 1) for part in text.split(";") if part)
    return {name.lower(): value for name, value in pairs}


def upstream_token(credential: dict, lifetime_seconds: int = 3600) -> str:
    """The JSON Web Token with which an upstream proves itself (RFC 7519, HS256)."""

    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    claims = {
        "aud": credential["endpoint"].rstrip("/") + "/upstream",
        "exp": int(time.time()) + lifetime_seconds,
        "hub": HUB,
    }
    parts = [encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(parts)
    signature = hmac.digest(credential["accesskey"].encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{encode(signature)}"


class Link:
    """The writing half of one Link. Acks and commands share one numbering and take effect in the order written."""

    def __init__(self) -> None:
        self.frames = queue.SimpleQueue()
        self.seq = 0

    def requests(self):
        """What grpcio sends: it takes frames as they come, and half-closes at `None`."""
        return iter(self.frames.get, None)

    def put(self, **frame) -> None:
        self.frames.put(pb.UpstreamFrame(**frame))

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def ack(self, event, **answer) -> None:
        self.put(ack=pb.Ack(seq=self.next_seq(), id=event.id, **answer))

    def command(self, **operation) -> None:
        self.put(command=pb.Command(seq=self.next_seq(), **operation))

    def settle(self, event) -> None:
        """Done with: the service may forget the event and send another."""
        self.put(settled=pb.Settled(ranges=[pb.Range(**{"from": event.seq, "to": event.seq})]))

    def leave(self) -> None:
        """Asks for nothing new; the service ends the Link when what is under way has been answered."""
        self.put(drain=pb.Drain())
        half_close = threading.Timer(LINGER_SECONDS, self.frames.put, [None])
        half_close.daemon = True
        half_close.start()


class Chat:
    """The application: what each event is answered with."""

    def __init__(self, link: Link) -> None:
        self.link = link
        # What was last stored for a connection. An event may have left the service before our answer to the event
        # before it arrived there, and then carries an older state than this.
        self.states = {}
        # Events that wait for an answer that will not come.
        self.unanswered = []

    def handle(self, event) -> None:
        kind = event.WhichOneof("event")
        if kind == "connect":
            self.connect(event)
        elif kind == "message":
            if event.message.name == "slow":
                self.unanswered.append(event)
                return
            self.message(event)
        elif kind == "disconnected":
            self.disconnected(event)
        # Any other kind comes from a newer service, or is a notice that needs nothing.
        self.link.settle(event)

    def connect(self, event) -> None:
        query = {name: list(values.values) for name, values in event.connect.query.items()}
        named = query.get("user", [""])[0]
        user = event.context.user_id or named
        if "1" in query.get("refuse", []) or user == "banned":
            status = types.Status(code=grpc.StatusCode.UNAUTHENTICATED.value[0], message="you may not come in")
            self.link.ack(event, reject=pb.Reject(status=status))
            return
        accept = pb.Accept(roles=["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"])
        if not event.context.user_id and named:
            accept.user_id = named
        if "1" in query.get("lobby", []):
            accept.groups.append(LOBBY)
        self.link.ack(event, accept=accept)

    def cancel(self, event_id) -> None:
        """The client of an event has gone: nobody waits for its answer any more."""
        for event in [event for event in self.unanswered if event.id == event_id]:
            self.unanswered.remove(event)
            self.link.settle(event)

    def message(self, event) -> None:
        name, payload = event.message.name, event.message.payload
        connection, user = event.id.connection_id, event.context.user_id
        if name in ("echo", "message"):
            self.reply(event, payload)
        elif name == "say":
            self.reply(event, text("said"))
            said = {"user": user, "text": payload.data.decode(errors="replace")}
            self.link.command(send_to_group=management.SendToGroupRequest(group=LOBBY, payload=as_json(said)))
        elif name == "whoami":
            who = {"connectionId": connection, "userId": user, "hub": HUB, "subprotocol": event.context.subprotocol}
            self.reply(event, as_json(who))
        elif name == "count":
            count = int(self.states.get(connection, event.context.state) or b"0") + 1
            self.states[connection] = str(count).encode()
            self.reply(event, text(str(count)), state=self.states[connection])
        elif name == "kick":
            self.link.ack(event, reply=pb.Reply())
            self.link.command(
                close_connection=management.CloseConnectionRequest(connection_id=connection, reason="kicked")
            )
        elif name == "fail":
            status = types.Status(code=grpc.StatusCode.INTERNAL.value[0], message="failed as asked")
            self.link.ack(event, error=status)
        else:
            self.reply(event, text(f"unknown event {name}"))

    def disconnected(self, event) -> None:
        self.states.pop(event.id.connection_id, None)
        print("disconnected", event.id.connection_id, event.context.user_id, event.disconnected.reason, flush=True)

    def reply(self, event, payload, **state) -> None:
        self.link.ack(event, reply=pb.Reply(payload=payload, **state))


def text(value: str):
    return types.Payload(type=types.DATA_TYPE_TEXT, data=value.encode())


def as_json(value):
    return types.Payload(type=types.DATA_TYPE_JSON, data=json.dumps(value).encode())


def serve(stub, credential: dict, stopping: threading.Event) -> None:
    """Holds one Link until the service ends it."""
    link = Link()

    def stop(*_) -> None:
        stopping.set()
        link.leave()

    signal.signal(signal.SIGTERM, stop)
    events = pb.EventFilter(connect=True, disconnected=True, messages=["*"])
    link.put(register=pb.Register(hub=HUB, app="chat", events=events, app_version="python example"))
    chat = Chat(link)
    metadata = [("authorization", "Bearer " + upstream_token(credential))]
    try:
        for frame in stub.Link(link.requests(), metadata=metadata):
            receive(link, chat, frame)
    finally:
        link.frames.put(None)


def receive(link: Link, chat: Chat, frame) -> None:
    """What each frame of the service asks for. A kind that is not named here comes from a newer service."""
    kind = frame.WhichOneof("frame")
    if kind == "registered":
        print("ready", flush=True)
    elif kind == "event":
        chat.handle(frame.event)
    elif kind == "cancel":
        chat.cancel(frame.cancel.id)
    elif kind == "drain":
        link.leave()
    elif kind == "result":
        link.put(results_through=pb.ResultsThrough(seq=frame.result.seq))
        if frame.result.HasField("status"):
            print("command failed:", frame.result.status.message, file=sys.stderr, flush=True)
    elif kind == "refused":
        print("ack refused:", frame.refused.status.message, file=sys.stderr, flush=True)


def dial(service: str):
    """A channel to the service; the keepalive finds out about a peer that has gone without a word."""
    url = urlsplit(service)
    options = [("grpc.keepalive_time_ms", 20_000), ("grpc.keepalive_timeout_ms", 10_000)]
    if url.scheme == "https":
        return grpc.secure_channel(url.netloc, grpc.ssl_channel_credentials(), options)
    return grpc.insecure_channel(url.netloc, options)


def main() -> None:
    parser = argparse.ArgumentParser(description="The chat upstream, over gRPC.")
    parser.add_argument("--service", required=True, help="where upstreams dial in, such as http://127.0.0.1:8081")
    parser.add_argument("--connection-string", required=True, help="as `headwater serve` prints it")
    arguments = parser.parse_args()
    credential = connection_string(arguments.connection_string)
    stopping = threading.Event()
    wait_seconds = 0.5
    with dial(arguments.service) as channel:
        while not stopping.is_set():
            try:
                serve(rpc.UpstreamStub(channel), credential, stopping)
            except grpc.RpcError as error:
                print(f"link lost: {error.code().name}: {error.details()}", file=sys.stderr, flush=True)
                if error.code() in HOPELESS:
                    sys.exit(1)
            stopping.wait(wait_seconds)
            wait_seconds = min(wait_seconds * 2, 10)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as generated:
        generate(generated)
        from headwater.v1 import management_pb2 as management
        from headwater.v1 import types_pb2 as types
        from headwater.v1 import upstream_pb2 as pb
        from headwater.v1 import upstream_pb2_grpc as rpc

        try:
            main()
        except KeyboardInterrupt:
            pass
