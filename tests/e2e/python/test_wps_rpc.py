"""The gRPC scheme for Web PubSub, by a client that grpcio-tools generates from the scheme's own text.

It knows nothing of Headwater but a token, and names no hub: that is the one of its token.
"""

import contextlib
import importlib
import json
import os
import pathlib
import sys
import tempfile
import threading
import unittest

import grpc
import grpc_tools
import websocket
from grpc_tools import protoc

from harness import KEY, PATIENCE_SECONDS, ROOT, Inbox, Service

sys.path.insert(0, str(ROOT / "examples/python"))
import chat_upstream  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
GENERATED = tempfile.TemporaryDirectory()
# Where grpcio-tools has google/protobuf/empty.proto.
WELL_KNOWN = pathlib.Path(grpc_tools.__file__).parent / "_proto"
OPTIONS = [f"-I{HERE}", f"-I{WELL_KNOWN}", f"--python_out={GENERATED.name}", f"--grpc_python_out={GENERATED.name}"]
if protoc.main(["protoc", *OPTIONS, "grpc_scheme.proto"]):
    sys.exit("cannot compile grpc_scheme.proto")
sys.path.insert(0, GENERATED.name)
pb = importlib.import_module("grpc_scheme_pb2")
rpc = importlib.import_module("grpc_scheme_pb2_grpc")

Code = grpc.StatusCode
LISTENING = "0A"


class App:
    """The upstream server of the scheme: one stream of events, and a call for each answer and each command."""

    def __init__(self, service, token) -> None:
        self.events, self.ended = Inbox(), Inbox()
        self.channel = grpc.insecure_channel(service.upstream.removeprefix("http://"))
        self.stub = rpc.WpsRpcStub(self.channel)
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        self.call = self.stub.register(pb.RegisterMessage(), metadata=self.metadata)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(grpc.RpcError):
            for event in self.call:
                self.events.put(event)
        self.ended.put(self.call.code())

    def registration(self) -> str:
        """The name of the registration: it is taken once this is there."""
        return dict(self.call.initial_metadata())["headwater-registration"]

    def close(self) -> None:
        self.call.cancel()
        self.ended.take("the end of the stream")
        self.channel.close()

    def event(self, kind):
        """The next event of all, which has to be of this kind."""
        event = self.events.take(f"a {kind}")
        assert event.WhichOneof("request") == f"{kind}_request", f"a {kind}, not {event}"
        return getattr(event, f"{kind}_request")

    def says(self, method: str, request) -> grpc.StatusCode:
        """Calls a method; how it ended."""
        try:
            getattr(self.stub, method)(request, metadata=self.metadata, timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            return error.code()
        return Code.OK

    def ack_connect(self, connection_id, **answer) -> grpc.StatusCode:
        message = pb.AckConnectMessage(**answer)
        return self.says("ackConnect", pb.AckConnectRequest(connection_id=connection_id, ack_connect_message=message))

    def ack_message(self, connection_id, text, event_id=0) -> grpc.StatusCode:
        message = pb.AckEventMessage(message=pb.Message(text_data=text))
        request = pb.AckMessageRequest(connection_id=connection_id, ack_event_message=message, event_id=event_id)
        return self.says("ackMessage", request)


class Client:
    """A JSON client, read one message at a time."""

    def __init__(self, socket) -> None:
        self.socket = socket
        self.connection_id = self.hears()["connectionId"]

    def hears(self):
        return json.loads(self.socket.recv())

    def hears_nothing(self) -> bool:
        """Whether nothing was sent to it so far."""
        self.socket.send('{"type":"ping"}')
        return self.hears() == {"type": "pong"}

    def says(self, data, ack_id) -> None:
        event = {"type": "event", "event": "talk", "dataType": "text", "data": data, "ackId": ack_id}
        self.socket.send(json.dumps(event))


def from_server(text):
    return {"type": "message", "from": "server", "dataType": "text", "data": text}


def from_group(text):
    return {"type": "message", "from": "group", "group": "g", "dataType": "text", "data": text}


def acked(ack_id):
    return {"type": "ack", "ackId": ack_id, "success": True}


def listening_sockets() -> set:
    """The inodes of this process's sockets that listen for TCP."""
    mine = set()
    for file in pathlib.Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            mine.add(os.readlink(file))
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == LISTENING and f"socket:[{columns[9]}]" in mine:
                found.add(columns[9])
    return found


class Scheme(unittest.TestCase):
    def setUp(self) -> None:
        # One for each test: the notices of one that has ended would go to the application of the next.
        self.service = Service()
        self.addCleanup(self.service.stop)
        self.credential = chat_upstream.connection_string(self.service.connection_string)

    def app(self) -> App:
        app = App(self.service, chat_upstream.upstream_token(self.credential))
        self.addCleanup(app.close)
        self.assertTrue(app.registration())
        return app

    def knock(self, user="ann") -> Inbox:
        """A client at the door; there comes its socket, or the status of the refusal."""
        outcome = Inbox()

        def dial():
            url = self.service.client_url(user=user)
            try:
                json_protocol = ["json.webpubsub.azure.v1"]
                outcome.put(websocket.create_connection(url, subprotocols=json_protocol, timeout=PATIENCE_SECONDS))
            except websocket.WebSocketBadStatusException as error:
                outcome.put(error.status_code)

        threading.Thread(target=dial, daemon=True).start()
        return outcome

    def client(self, app, user="ann", **accept) -> Client:
        door = self.knock(user)
        connection_id = app.event("connect").connection_id
        self.assertEqual(app.ack_connect(connection_id, **accept), Code.OK)
        self.assertEqual(app.event("connected").connection_id, connection_id)
        socket = door.take("the client")
        self.addCleanup(socket.close)
        client = Client(socket)
        self.assertEqual(client.connection_id, connection_id)
        return client

    def test_s1_01_s1_04_an_application_without_a_listening_socket_gets_four_kinds_of_event(self):
        numbers = {field.name: field.number for field in pb.StreamingRequest.DESCRIPTOR.fields}
        kinds = ["connect_request", "connected_request", "message_request", "disconnected_request"]
        self.assertEqual(numbers, {kind: number for number, kind in enumerate(kinds, 1)})
        app = self.app()
        client = self.client(app, user="carl")
        client.says("hello", 1)
        message = app.event("message")
        self.assertEqual((message.connection_id, message.name), (client.connection_id, "talk"))
        self.assertEqual((message.message.text_data, message.data), ("hello", 0))
        context = message.context
        self.assertEqual((context.event_id, context.user_id, context.hub), (3, "carl", "chat"))
        client.socket.close()
        gone = app.event("disconnected")
        self.assertEqual((gone.connection_id, gone.context.event_id), (client.connection_id, 4))
        self.assertEqual(listening_sockets(), set(), "it is the application that dials")

    def test_s1_03_a_bad_credential_is_unauthenticated_and_sees_no_event(self):
        tokens = {
            "none": "",
            "garbage": "a.b.c",
            "another key": chat_upstream.upstream_token({**self.credential, "accesskey": KEY + "x"}),
            "expired": chat_upstream.upstream_token(self.credential, lifetime_seconds=-120),
        }
        for name, token in tokens.items():
            with self.subTest(token=name):
                app = App(self.service, token)
                self.assertEqual(app.ended.take("the end"), Code.UNAUTHENTICATED)
                self.assertEqual(app.events.values, [])
                self.assertEqual(app.ack_connect("anybody"), Code.UNAUTHENTICATED)
                app.channel.close()

    def test_s1_05_the_handshake_waits_for_the_ack(self):
        app = self.app()
        door = self.knock()
        connect = app.event("connect")
        self.assertEqual(list(connect.subprotocols), ["json.webpubsub.azure.v1"])
        self.assertEqual(app.says("joinGroup", pb.JoinGroupRequest(connection_id="x", group_name="g")), Code.NOT_FOUND)
        self.assertEqual(door.values, [], "pending until the ack")
        # As in the scheme's sample: nothing but the connection.
        self.assertEqual(app.says("ackConnect", pb.AckConnectRequest(connection_id=connect.connection_id)), Code.OK)
        socket = door.take("101")
        self.addCleanup(socket.close)
        self.assertEqual(app.event("connected").connection_id, connect.connection_id)

    def test_s1_06_a_refused_client_hears_so_and_no_connected_follows(self):
        app = self.app()
        for code, status in ((Code.UNAUTHENTICATED, 401), (Code.PERMISSION_DENIED, 403)):
            door = self.knock()
            connect = app.event("connect")
            error = pb.Error(code=code.value[0], message="not you")
            self.assertEqual(app.ack_connect(connect.connection_id, error=error), Code.OK)
            self.assertEqual(door.take("the refusal"), status)
        # What comes next is the next client, not a notice of those.
        self.client(app)

    def test_s1_08_a_reply_reaches_the_sender_only(self):
        app = self.app()
        sender, other = self.client(app), self.client(app, user="bob")
        sender.says("?", 1)
        self.assertEqual(app.ack_message(app.event("message").connection_id, "mine"), Code.OK)
        self.assertEqual([sender.hears(), sender.hears()], [from_server("mine"), acked(1)])
        self.assertTrue(other.hears_nothing())

    def test_acks_by_connection_alone_answer_the_oldest_first(self):
        app = self.app()
        client = self.client(app)
        for number in (1, 2, 3):
            client.says("?", number)
            app.event("message")
        for number in (1, 2, 3):
            self.assertEqual(app.ack_message(client.connection_id, f"to {number}"), Code.OK)
            self.assertEqual([client.hears(), client.hears()], [from_server(f"to {number}"), acked(number)])

    def test_s1_20_acks_by_event_in_reverse_order_reach_their_own_requests(self):
        app = self.app()
        client = self.client(app)
        events = {}
        for number in (1, 2, 3):
            client.says("?", number)
            events[number] = app.event("message").context.event_id
        for number in (3, 2, 1):
            self.assertEqual(app.ack_message(client.connection_id, f"to {number}", events[number]), Code.OK)
            self.assertEqual([client.hears(), client.hears()], [from_server(f"to {number}"), acked(number)])

    def test_s1_11_s1_12_s1_13_s1_15_sends_reach_whom_they_are_for(self):
        app = self.app()
        ann, bob, eve = (self.client(app, user=user) for user in ("ann", "bob", "eve"))

        def send(text, **more):
            request = pb.SendToGroupRequest(group_name="g", message=pb.Message(text_data=text), **more)
            self.assertEqual(app.says("sendToGroup", request), Code.OK)

        for client in (ann, bob, bob):
            join = pb.JoinGroupRequest(connection_id=client.connection_id, group_name="g")
            self.assertEqual(app.says("joinGroup", join), Code.OK)
        send("to two")
        self.assertEqual([ann.hears(), bob.hears()], [from_group("to two")] * 2)
        send("no echo", connection_id=ann.connection_id, no_echo=True)
        self.assertEqual(bob.hears(), from_group("no echo"))
        leave = pb.LeaveGroupRequest(connection_id=bob.connection_id, group_name="g")
        self.assertEqual(app.says("leaveGroup", leave), Code.OK)
        send("to one")
        self.assertEqual(ann.hears(), from_group("to one"))
        everyone = pb.SendToAllRequest(message=pb.Message(text_data="to all"))
        self.assertEqual(app.says("SendToAll", everyone), Code.OK)
        for client in (ann, bob, eve):
            self.assertEqual(client.hears(), from_server("to all"))
            self.assertTrue(client.hears_nothing())

    def test_s1_24_an_ack_without_effect_is_told_why_and_disturbs_nothing(self):
        app = self.app()
        client, leaver = self.client(app), self.client(app, user="bob")
        for says in (client, leaver):
            says.says("?", 1)
            self.assertEqual(app.event("message").connection_id, says.connection_id)
        leaver.socket.close()
        app.event("disconnected")
        me = client.connection_id
        self.assertEqual(app.ack_message("", "nobody"), Code.INVALID_ARGUMENT)
        self.assertEqual(app.ack_message("unknown", "nobody"), Code.NOT_FOUND)
        self.assertEqual(app.ack_message(me, "no such", event_id=99), Code.NOT_FOUND)
        self.assertEqual(app.ack_message(leaver.connection_id, "gone"), Code.CANCELLED)
        self.assertEqual(app.ack_connect("unknown"), Code.NOT_FOUND)
        self.assertEqual(app.ack_connect(me), Code.ALREADY_EXISTS)
        self.assertEqual(app.ack_message(me, "first"), Code.OK)
        self.assertEqual(app.ack_message(me, "second"), Code.ALREADY_EXISTS)
        self.assertEqual([client.hears(), client.hears()], [from_server("first"), acked(1)])
        self.assertTrue(client.hears_nothing(), "one answer")
        self.client(app, user="eve").says("the stream goes on", 1)
        self.assertEqual(app.event("message").message.text_data, "the stream goes on")


if __name__ == "__main__":
    unittest.main()
