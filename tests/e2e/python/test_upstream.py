"""The application's side of the wire, spoken by hand with grpcio: every operation, and every way to misbehave.

The peer here is a second gRPC implementation (S1-17) and listens nowhere (S1-01). Each misbehaviour gets the stated
answer, and the Link goes on wherever that is promised.
"""

import contextlib
import json
import queue
import socket
import sys
import tempfile
import threading
import unittest
from urllib.parse import urlsplit

import grpc
import websocket
from grpc_health.v1 import health_pb2, health_pb2_grpc

from harness import KEY, PATIENCE_SECONDS, ROOT, Client, Inbox, Service

sys.path.insert(0, str(ROOT / "examples/python"))
import chat_upstream  # noqa: E402

GENERATED = tempfile.TemporaryDirectory()
chat_upstream.generate(GENERATED.name)
from headwater.v1 import management_pb2 as management  # noqa: E402
from headwater.v1 import types_pb2 as types  # noqa: E402
from headwater.v1 import upstream_pb2 as pb  # noqa: E402

# A Link that was made to misbehave may have nothing more to say.
LEAVE_SECONDS = 2
METHOD = "/headwater.v1.Upstream/Link"
Code = grpc.StatusCode


class Link:
    """One Link whose frames are written and read one by one; bytes are sent as they are."""

    def __init__(self, service, token) -> None:
        self.frames, self.ended, self.over = Inbox(), Inbox(), Inbox()
        self.seq = 0
        self.requests = queue.SimpleQueue()
        self.channel = grpc.insecure_channel(service.upstream.removeprefix("http://"))
        call = self.channel.stream_stream(
            METHOD,
            request_serializer=lambda frame: frame if isinstance(frame, bytes) else frame.SerializeToString(),
            response_deserializer=pb.ServiceFrame.FromString,
        )
        metadata = [("authorization", f"Bearer {token}")] if token else []
        self.call = call(iter(self.requests.get, None), metadata=metadata)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for frame in self.call:
                self.frames.put(frame)
        except grpc.RpcError:
            pass
        self.ended.put(self.call.code())
        self.over.put(True)

    def close(self) -> None:
        """Leaves as an application should, so that its connections are free for the next test at once."""
        self.put(drain=pb.Drain())
        self.requests.put(None)
        with contextlib.suppress(AssertionError):
            self.over.take("the end of the Link", patience=LEAVE_SECONDS)
        self.call.cancel()
        self.channel.close()

    def put(self, **frame) -> None:
        self.requests.put(pb.UpstreamFrame(**frame))

    def register(self, hub="chat", **more):
        self.put(register=pb.Register(hub=hub, app="test", **more))
        return self.take("registered")

    def take(self, kind, fits=lambda value: True):
        """The next frame of a kind; frames of other kinds stay."""
        wanted = lambda frame: frame.WhichOneof("frame") == kind and fits(getattr(frame, kind))  # noqa: E731
        return getattr(self.frames.take(f"a frame `{kind}`", wanted), kind)

    def event(self, kind):
        return self.take("event", lambda event: event.WhichOneof("event") == kind)

    def settle(self, event) -> None:
        self.put(settled=pb.Settled(ranges=[pb.Range(**{"from": event.seq, "to": event.seq})]))

    def ack(self, event_id, **answer) -> int:
        self.seq += 1
        self.put(ack=pb.Ack(seq=self.seq, id=event_id, **answer))
        return self.seq

    def command(self, **operation):
        """Sends a command and gives its result."""
        self.seq += 1
        seq = self.seq
        self.put(command=pb.Command(seq=seq, **operation))
        result = self.take("result", lambda result: result.seq == seq)
        self.put(results_through=pb.ResultsThrough(seq=seq))
        return result

    def refused(self, seq) -> grpc.StatusCode:
        refused = self.take("refused", lambda refused: refused.seq == seq)
        return code(refused.status)

    def end(self) -> grpc.StatusCode:
        return self.ended.take("the end of the Link")


def code(status) -> grpc.StatusCode:
    return next(code for code in Code if code.value[0] == status.code)


def text(value):
    return types.Payload(type=types.DATA_TYPE_TEXT, data=value.encode())


class Upstream(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls) -> None:
        cls.service = Service(*cls.options)
        cls.addClassCleanup(cls.service.stop)

    def token(self, **claims) -> str:
        credential = chat_upstream.connection_string(self.service.connection_string)
        return chat_upstream.upstream_token(credential, **claims)

    def link(self, token=None) -> Link:
        link = Link(self.service, self.token() if token is None else token)
        self.addCleanup(link.close)
        return link

    def registered(self, **more) -> Link:
        link = self.link()
        link.register(**more)
        return link

    def client(self, link, accept=None, **who) -> Client:
        """A client whose connect event is answered here."""
        arrived = Inbox()
        threading.Thread(target=lambda: arrived.put(Client(self.service, **who)), daemon=True).start()
        connect = link.event("connect")
        link.ack(connect.id, accept=accept or pb.Accept())
        link.settle(connect)
        client = arrived.take("the client")
        client.connect = connect
        self.addCleanup(client.close)
        link.settle(link.event("connected"))
        return client

    def sends(self, client, data) -> None:
        """Sends an event and waits for no ack."""
        client.official.send_event("talk", data, "text", ack=False)


class Registration(Upstream):
    def test_the_official_client_learns_without_a_token_that_the_service_serves(self) -> None:
        with grpc.insecure_channel(self.service.upstream.removeprefix("http://")) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for service in ["", "headwater.v1.Upstream", "headwater.v1.Management"]:
                request = health_pb2.HealthCheckRequest(service=service)
                answer = health.Check(request, timeout=PATIENCE_SECONDS)
                self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING, service)

    def test_s1_03_a_bad_credential_is_unauthenticated_and_sees_no_event(self):
        credential = chat_upstream.connection_string(self.service.connection_string)
        client_url = self.service.client_url(user="ann")
        tokens = {
            "none": "",
            "garbage": "a.b.c",
            "another key": chat_upstream.upstream_token({**credential, "accesskey": KEY + "x"}),
            "expired": self.token(lifetime_seconds=-120),
            "another audience": chat_upstream.upstream_token({**credential, "endpoint": "http://elsewhere.example"}),
            "a client's": client_url.split("access_token=")[1],
        }
        for name, token in tokens.items():
            with self.subTest(token=name):
                link = self.link(token)
                link.put(register=pb.Register(hub="chat", app="test"))
                self.assertEqual(link.end(), Code.UNAUTHENTICATED)
                self.assertEqual(link.frames.values, [])

    def test_s1_03_a_token_for_one_hub_opens_no_other(self):
        link = self.link()
        link.put(register=pb.Register(hub="other", app="test"))
        self.assertEqual(link.end(), Code.PERMISSION_DENIED)

    def test_an_invalid_hub_name_is_refused(self):
        link = self.link()
        link.put(register=pb.Register(hub="not a hub", app="test"))
        self.assertIn(link.end(), (Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED))

    def test_the_first_frame_must_be_a_registration(self):
        link = self.link()
        link.ack(pb.EventId(connection_id="x", number=1), reply=pb.Reply())
        self.assertIn(link.end(), (Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION))

    def test_garbage_ends_the_link_with_a_status(self):
        link = self.registered()
        link.requests.put(b"\xff\xff\xff garbage")
        self.assertIn(link.end(), (Code.INVALID_ARGUMENT, Code.INTERNAL))

    def test_s1_19_a_frame_of_a_later_version_is_skipped(self):
        link = self.registered()
        # Field 99, a string, in an otherwise empty frame.
        link.requests.put(bytes([0x9A, 0x06, 3]) + b"new")
        link.requests.put(b"")
        self.assertFalse(link.command(user_exists=management.UserExistsRequest(user_id="x")).answer.yes)

    def test_a_drain_ends_the_link_without_an_error(self):
        link = self.registered()
        link.put(drain=pb.Drain())
        self.assertEqual(link.end(), Code.OK)

    def test_a_registration_tells_its_limits(self):
        registered = self.link().register()
        self.assertTrue(registered.registration and registered.resume_token and registered.epoch)
        self.assertFalse(registered.resumed)
        self.assertGreater(registered.limits.commands, 0)
        self.assertGreater(registered.limits.frame_bytes, 0)

    def test_resuming_what_never_was_is_a_fresh_registration(self):
        registered = self.link().register(resume=pb.Resume(registration="no-such", token=b"guess"))
        self.assertFalse(registered.resumed)


class Answers(Upstream):
    def test_s1_17_s1_18_a_connect_carries_everything_about_the_client(self):
        link = self.registered()
        client = self.client(link, user="ann", roles=["webpubsub.sendToGroup.x"], query="a=1&a=2")
        event = client.connect
        self.assertEqual((event.id.connection_id, event.id.number), (client.connection_id, 1))
        self.assertEqual(event.context.user_id, "ann")
        self.assertEqual(list(event.connect.query["a"].values), ["1", "2"])
        self.assertEqual(list(event.connect.subprotocols), ["json.webpubsub.azure.v1"])
        headers = {name.lower(): list(values.values) for name, values in event.connect.headers.items()}
        self.assertEqual(headers["host"], [urlsplit(self.service.clients).netloc])
        self.assertGreater(event.time_left_ms, 0)
        client.close()
        gone = link.event("disconnected")
        self.assertEqual(gone.context.user_id, "ann")
        self.assertEqual(gone.context.subprotocol, "json.webpubsub.azure.v1")

    def test_s1_07_notices_need_no_answer(self):
        link = self.registered()
        client = self.client(link, user="ann")
        self.sends(client, "next")
        self.assertEqual(link.event("message").message.payload.data, b"next")

    def test_s1_20_replies_in_reverse_order_reach_their_own_requests(self):
        link = self.registered()
        client = self.client(link, user="ann")
        outcomes = {}

        def send(name):
            try:
                client.official.send_event("talk", name, "text")
                outcomes[name] = "done"
            except Exception as error:  # pylint: disable=broad-except
                outcomes[name] = error.error_detail.name

        senders = [threading.Thread(target=send, args=(name,)) for name in ("good", "bad")]
        for sender in senders:
            sender.start()
        events = {event.message.payload.data: event for event in (link.event("message"), link.event("message"))}
        last_first = sorted(events.values(), key=lambda event: -event.seq)
        for event in last_first:
            if event.message.payload.data == b"good":
                link.ack(event.id, reply=pb.Reply())
            else:
                link.ack(event.id, error=types.Status(code=Code.INTERNAL.value[0], message="as asked"))
        for sender in senders:
            sender.join(PATIENCE_SECONDS)
        self.assertEqual(outcomes, {"good": "done", "bad": "InternalServerError"})

    def test_s1_24_a_second_ack_is_refused_and_has_no_effect(self):
        link = self.registered()
        client = self.client(link, user="ann")
        self.sends(client, "x")
        event = link.event("message")
        link.ack(event.id, reply=pb.Reply(payload=text("first")))
        second = link.ack(event.id, reply=pb.Reply(payload=text("second")))
        self.assertEqual(link.refused(second), Code.ALREADY_EXISTS)
        self.sends(client, "y")
        link.ack(link.event("message").id, reply=pb.Reply(payload=text("third")))
        self.assertEqual({client.server.take().data, client.server.take().data}, {"first", "third"})

    def test_s1_24_an_ack_of_no_event_is_refused(self):
        link = self.registered()
        client = self.client(link, user="ann")
        for event_id in (
            pb.EventId(connection_id="no-such-connection", number=1),
            pb.EventId(connection_id=client.connection_id, number=999),
        ):
            self.assertEqual(link.refused(link.ack(event_id, reply=pb.Reply())), Code.NOT_FOUND)

    def test_s1_24_an_ack_after_the_client_has_gone_is_refused(self):
        link = self.registered()
        client = self.client(link, user="ann")
        self.sends(client, "x")
        event = link.event("message")
        client.close()
        link.take("cancel", lambda cancel: cancel.id == event.id)
        refusal = link.refused(link.ack(event.id, reply=pb.Reply(payload=text("too late"))))
        self.assertIn(refusal, (Code.CANCELLED, Code.NOT_FOUND))

    def test_an_answer_that_does_not_fit_is_refused(self):
        link = self.registered()
        client = self.client(link, user="ann")
        self.sends(client, "x")
        seq = link.ack(link.event("message").id, accept=pb.Accept())
        self.assertEqual(link.refused(seq), Code.INVALID_ARGUMENT)

    def test_a_numbering_with_a_hole_is_refused(self):
        link = self.registered()
        link.seq += 5
        seq = link.ack(pb.EventId(connection_id="x", number=1), reply=pb.Reply())
        self.assertEqual(link.refused(seq), Code.OUT_OF_RANGE)

    def test_a_connect_is_withdrawn_when_its_client_leaves(self):
        link = self.registered()
        url = urlsplit(self.service.client_url(user="ann"))
        with socket.create_connection((url.hostname, url.port)) as raw:
            raw.sendall(
                f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            event = link.event("connect")
        link.take("cancel", lambda cancel: cancel.id == event.id)


class Silence(Upstream):
    """An application that is there and says nothing."""

    options = ("--connect-timeout", "1", "--message-timeout", "1")

    def dial(self, user):
        url = self.service.client_url(user=user)
        return websocket.create_connection(
            url, subprotocols=["json.webpubsub.azure.v1"], timeout=PATIENCE_SECONDS
        )

    def test_s1_23_what_nobody_answers_fails_at_its_deadline_and_an_answer_after_it_is_refused(self):
        link = self.registered()
        inside, outside = Inbox(), Inbox()

        def waits_outside():
            try:
                self.dial("outside").close()
                outside.put(101)
            except websocket.WebSocketBadStatusException as error:
                outside.put(error.status_code)

        threading.Thread(target=lambda: inside.put(self.dial("inside")), daemon=True).start()
        link.ack(link.event("connect").id, accept=pb.Accept())
        client = inside.take("the client")
        self.addCleanup(client.close)
        threading.Thread(target=waits_outside, daemon=True).start()
        connect = link.event("connect")
        client.recv()
        client.send('{"type":"event","event":"talk","dataType":"text","data":"x","ackId":1}')
        message = link.event("message")

        ack = json.loads(client.recv())
        self.assertEqual((ack["ackId"], ack["success"], ack["error"]["name"]), (1, False, "InternalServerError"))
        self.assertEqual(outside.take("the refusal of the handshake"), 504)
        for event, answer in ((message, {"reply": pb.Reply()}), (connect, {"accept": pb.Accept()})):
            self.assertEqual(link.refused(link.ack(event.id, **answer)), Code.DEADLINE_EXCEEDED)
        client.send('{"type":"ping"}')
        self.assertEqual(json.loads(client.recv()), {"type": "pong"}, "the connection goes on")


class Commands(Upstream):
    def test_s1_14_every_operation_works_on_a_live_client(self):
        link = self.registered()
        client = self.client(link, accept=pb.Accept(groups=["start"]), user="ann")
        other = self.client(link, user="bob")
        me, m = client.connection_id, management
        lock, send = m.PERMISSION_JOIN_LEAVE_GROUP, m.PERMISSION_SEND_TO_GROUP

        def yes(**operation):
            return link.command(**operation).answer.yes

        self.assertTrue(yes(connection_exists=m.ConnectionExistsRequest(connection_id=me)))
        self.assertTrue(yes(user_exists=m.UserExistsRequest(user_id="ann")))
        self.assertTrue(yes(group_exists=m.GroupExistsRequest(group="start")))
        self.assertTrue(yes(connection_in_group=m.ConnectionInGroupRequest(group="start", connection_id=me)))
        self.assertFalse(yes(user_in_group=m.UserInGroupRequest(group="start", user_id="bob")))

        link.command(add_connection_to_group=m.AddConnectionToGroupRequest(group="g", connection_id=me))
        link.command(add_user_to_group=m.AddUserToGroupRequest(group="g", user_id="bob"))
        members = link.command(list_members=m.ListMembersRequest(group="g")).members.members
        self.assertEqual({(member.connection_id, member.user_id) for member in members},
                         {(me, "ann"), (other.connection_id, "bob")})

        # S1-12, S1-11, S1-15: to all, to a group, and without the sender.
        for operation, hearers in (
            ({"send_to_all": m.SendToAllRequest(payload=text("all"))}, (client, other)),
            ({"send_to_group": m.SendToGroupRequest(group="g", payload=text("group"))}, (client, other)),
            ({"send_to_user": m.SendToUserRequest(user_id="ann", payload=text("user"))}, (client,)),
            ({"send_to_connection": m.SendToConnectionRequest(connection_id=me, payload=text("one"))}, (client,)),
            ({"send_to_group": m.SendToGroupRequest(group="g", payload=text("not ann"), origin_connection=me,
                                                    no_echo=True)}, (other,)),
        ):
            delivered = link.command(**operation).delivered.connections
            self.assertEqual(delivered, len(hearers), operation)
            for hearer in hearers:
                inbox = hearer.group if "send_to_group" in operation else hearer.server
                inbox.take(f"what {operation} sent")
        for hearer in (client, other):
            self.assertEqual((hearer.group.values, hearer.server.values), ([], []), "nobody heard more")

        permission = {"connection_id": me, "permission": lock, "group": "x"}
        self.assertFalse(yes(check_permission=m.CheckPermissionRequest(**permission)))
        link.command(grant_permission=m.GrantPermissionRequest(**permission))
        self.assertTrue(yes(check_permission=m.CheckPermissionRequest(**permission)))
        client.official.join_group("x")
        link.command(revoke_permission=m.RevokePermissionRequest(**permission))
        self.assertFalse(yes(check_permission=m.CheckPermissionRequest(**permission)))
        self.assertFalse(yes(check_permission=m.CheckPermissionRequest(**{**permission, "permission": send})))

        link.command(remove_connection_from_group=m.RemoveConnectionFromGroupRequest(group="g", connection_id=me))
        link.command(remove_user_from_group=m.RemoveUserFromGroupRequest(group="g", user_id="bob"))
        self.assertFalse(yes(group_exists=m.GroupExistsRequest(group="g")))
        link.command(remove_connection_from_all_groups=m.RemoveConnectionFromAllGroupsRequest(connection_id=me))
        self.assertFalse(yes(group_exists=m.GroupExistsRequest(group="start")))
        link.command(add_user_to_group=m.AddUserToGroupRequest(group="g", user_id="bob"))
        link.command(remove_user_from_all_groups=m.RemoveUserFromAllGroupsRequest(user_id="bob"))
        self.assertFalse(yes(group_exists=m.GroupExistsRequest(group="g")))

        link.command(close_connection=m.CloseConnectionRequest(connection_id=me, reason="one"))
        self.assertEqual(client.disconnected.take("the notice").message, "one")
        link.command(close_user=m.CloseUserRequest(user_id="bob", reason="user"))
        self.assertEqual(other.disconnected.take("the notice").message, "user")

        for operation, reason in (("close_group", "group"), ("close_all", "all")):
            third = self.client(link, accept=pb.Accept(groups=["g"]), user="eve")
            request = m.CloseGroupRequest(group="g", reason=reason)
            if operation == "close_all":
                request = m.CloseAllRequest(reason=reason)
            link.command(**{operation: request})
            self.assertEqual(third.disconnected.take("the notice").message, reason)

    def test_s1_22_a_connection_that_is_not_there_is_not_found(self):
        link, m = self.registered(), management
        for operation in (
            {"send_to_connection": m.SendToConnectionRequest(connection_id="gone", payload=text("x"))},
            {"add_connection_to_group": m.AddConnectionToGroupRequest(connection_id="gone", group="g")},
            {"remove_connection_from_group": m.RemoveConnectionFromGroupRequest(connection_id="gone", group="g")},
            {"close_connection": m.CloseConnectionRequest(connection_id="gone")},
            {"add_user_to_group": m.AddUserToGroupRequest(user_id="gone", group="g")},
            {"grant_permission": m.GrantPermissionRequest(
                connection_id="gone", permission=m.PERMISSION_SEND_TO_GROUP)},
        ):
            self.assertEqual(code(link.command(**operation).status), Code.NOT_FOUND, operation)

    def test_s1_22_an_empty_name_is_an_invalid_argument(self):
        link, m = self.registered(), management
        for operation in (
            {"send_to_group": m.SendToGroupRequest(payload=text("x"))},
            {"add_user_to_group": m.AddUserToGroupRequest(user_id="ann")},
            {"send_to_group": m.SendToGroupRequest(group=" ", payload=text("x"))},
            {"send_to_user": m.SendToUserRequest(payload=text("x"))},
            {"remove_user_from_group": m.RemoveUserFromGroupRequest(user_id="ann")},
            {"close_connection": m.CloseConnectionRequest()},
            {"close_group": m.CloseGroupRequest()},
            {"user_exists": m.UserExistsRequest()},
            {"group_exists": m.GroupExistsRequest()},
        ):
            self.assertEqual(code(link.command(**operation).status), Code.INVALID_ARGUMENT, operation)

    def test_s1_22_what_reaches_nobody_is_no_error(self):
        link, m = self.registered(), management
        for operation in (
            {"send_to_group": m.SendToGroupRequest(group="empty", payload=text("x"))},
            {"send_to_user": m.SendToUserRequest(user_id="gone", payload=text("x"))},
        ):
            result = link.command(**operation)
            self.assertFalse(result.HasField("status"), operation)
            self.assertEqual(result.delivered.connections, 0)


class Outside(Upstream):
    """The same operations for a producer that registers nothing."""

    def call(self, method, request, reply, token=None):
        with grpc.insecure_channel(self.service.upstream.removeprefix("http://")) as channel:
            unary = channel.unary_unary(
                f"/headwater.v1.Management/{method}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=reply.FromString,
            )
            metadata = [("authorization", f"Bearer {self.token() if token is None else token}")]
            return unary(request, metadata=metadata, timeout=PATIENCE_SECONDS)

    def test_s1_14_a_producer_sends_without_a_link(self):
        m = management
        sent = self.call("SendToAll", m.SendToAllRequest(hub="chat", payload=text("x")), m.Delivered)
        self.assertEqual(sent.connections, 0)

    def test_s1_22_a_producer_gets_statuses(self):
        m = management
        gone = m.CloseConnectionRequest(hub="chat", connection_id="gone")
        for method, request, token, expected in (
            ("CloseConnection", gone, None, Code.NOT_FOUND),
            ("CloseConnection", gone, "a.b.c", Code.UNAUTHENTICATED),
            ("CloseAll", m.CloseAllRequest(hub="other"), None, Code.PERMISSION_DENIED),
            ("SendToGroup", m.SendToGroupRequest(hub="chat", payload=text("x")), None, Code.INVALID_ARGUMENT),
        ):
            with self.subTest(method=method, expected=expected):
                with self.assertRaises(grpc.RpcError) as raised:
                    self.call(method, request, m.Changed, token)
                self.assertEqual(raised.exception.code(), expected)

    def test_an_unknown_method_is_unimplemented(self):
        with self.assertRaises(grpc.RpcError) as raised:
            self.call("NoSuch", management.Answer(), management.Answer)
        self.assertEqual(raised.exception.code(), Code.UNIMPLEMENTED)


if __name__ == "__main__":
    unittest.main()
