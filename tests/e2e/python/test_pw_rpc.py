"""Pigweed's own pw_rpc client, unmodified: a WebSocket library carries its packets, one a binary message."""

import logging
import pathlib
import ssl
import subprocess
import tempfile
import threading
import unittest

import websocket
from google.protobuf import descriptor_pb2, descriptor_pool
from programs import PATIENCE_SECONDS, ROOT, Inbox, Program, place
from pw_rpc import benchmark_pb2, callback_client, echo_pb2
from pw_rpc.client import Client
from pw_rpc.descriptors import Channel, Service
from pw_status import Status

TEST = "grpc.testing.TestService"
# Longer than any test: what waits for it waits until somebody ends it.
NEVER_US = 2**30
# It warns of every error, the wanted ones too.
logging.getLogger("pw_rpc").setLevel(logging.CRITICAL)


def services_of(*files: descriptor_pb2.FileDescriptorProto) -> list:
    """The services of files, each of which comes after what it imports."""
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)
    found = [pool.FindFileByName(file.name).services_by_name.values() for file in files]
    return [Service.from_descriptor(service) for in_file in found for service in in_file]


def compiled(proto: str) -> list:
    """The services of one of the repository's `.proto` files, compiled by the official compiler."""
    folder = ROOT / "examples/proto"
    with tempfile.NamedTemporaryFile() as out:
        compiler = [place("HEADWATER_PYTHON"), "-m", "grpc_tools.protoc", "--include_imports"]
        options = [f"--proto_path={folder}", f"--descriptor_set_out={out.name}"]
        subprocess.run([*compiler, *options, proto], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())
    return services_of(*files.file)


def own(module) -> list:
    """The services of a module of Pigweed's."""
    return [Service.from_descriptor(service) for service in module.DESCRIPTOR.services_by_name.values()]


def error_of(method) -> Status:
    """How a call fails that comes to no handler."""
    try:
        response = method()
    except callback_client.RpcError as error:
        return error.status
    raise AssertionError(f"it was answered: {response}")


class Peer:
    """A client whose channels have one socket after another."""

    def __init__(self, services: list, channels=(1,)) -> None:
        self.socket = None
        self.closed = Inbox()
        impl = callback_client.Impl(PATIENCE_SECONDS, PATIENCE_SECONDS)
        self.client = Client(impl, [Channel(channel, self.send) for channel in channels], services)

    def send(self, packet: bytes) -> None:
        self.socket.send_binary(packet)

    def connect(self, url: str, *subprotocols: str, authority=None) -> None:
        self.socket = websocket.create_connection(
            url,
            timeout=PATIENCE_SECONDS,
            subprotocols=list(subprotocols),
            sslopt={"ca_certs": authority} if authority else None,
        )
        threading.Thread(target=self._read, args=(self.socket,), daemon=True).start()

    def _read(self, socket) -> None:
        code = None
        try:
            while True:
                opcode, data = socket.recv_data()
                if opcode != websocket.ABNF.OPCODE_BINARY:
                    code = int.from_bytes(data[:2], "big")
                    break
                self.client.process_packet(data)
        except (OSError, websocket.WebSocketException):
            pass
        self.closed.put(code)

    def method(self, name: str, channel=None):
        return self.client.channel(channel).method(name)


class Server(Program):
    """The example `interop`."""

    def __init__(self, scheme="ws", *options: str) -> None:
        super().__init__(place("HEADWATER_INTEROP"), "--listen", f"{scheme}://127.0.0.1:0", *options)
        self.url = self.line("where it listens", lambda line: line.startswith("listening ")).split()[1]
        self.line("ready", lambda line: line == "ready")


class Interop(unittest.TestCase):
    """Calls of the example `interop`."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server()
        cls.addClassCleanup(cls.server.child.kill)
        cls.services = [*own(echo_pb2), *own(benchmark_pb2), *compiled("grpc/testing/test.proto")]

    def connect(self, *subprotocols: str, channels=(1,)) -> Peer:
        peer = Peer(self.services, channels)
        peer.connect(self.server.url, *subprotocols)
        self.addCleanup(peer.socket.shutdown)
        return peer

    def calls_well(self, peer: Peer, channel=None) -> None:
        status, response = peer.method("pw.rpc.EchoService.Echo", channel)(msg="well")
        self.assertEqual((status, response.msg), (Status.OK, "well"))

    def test_s5_63_its_echo_and_benchmark_services_answer_unary_calls(self):
        for subprotocols in ((), ("pw_rpc",)):
            peer = self.connect(*subprotocols)
            self.calls_well(peer)
            status, response = peer.method("pw.rpc.Benchmark.UnaryEcho")(payload=b"\x00" * 5000)
            self.assertEqual((status, response.payload), (Status.OK, b"\x00" * 5000))

    def test_s5_63_the_benchmark_service_echoes_both_ways(self):
        call = self.connect().method("pw.rpc.Benchmark.BidirectionalEcho").invoke()
        answers = iter(call)
        for at in range(20):
            call.send(payload=bytes([at]))
            self.assertEqual(next(answers).payload, bytes([at]))
        status, responses = call.finish_and_wait()
        self.assertEqual((status, len(responses)), (Status.OK, 20))

    def test_a_server_stream_comes_in_order(self):
        sizes = [1, 5000, 0, 3]
        method = self.connect().method(f"{TEST}.StreamingOutputCall")
        status, responses = method(response_parameters=[{"size": size} for size in sizes])
        self.assertEqual(status, Status.OK)
        self.assertEqual([len(response.payload.body) for response in responses], sizes)

    def test_a_client_stream_is_answered_once(self):
        sizes = [2718, 8, 1828, 4590]
        call = self.connect().method(f"{TEST}.StreamingInputCall").invoke()
        for size in sizes:
            call.send(payload={"body": bytes(size)})
        status, response = call.finish_and_wait()
        self.assertEqual((status, response.aggregated_payload_size), (Status.OK, sum(sizes)))

    def test_two_calls_of_one_method_run_at_once(self):
        peer = self.connect()
        calls = [peer.method("pw.rpc.Benchmark.BidirectionalEcho").invoke() for _ in range(2)]
        answers = [iter(call) for call in calls]
        for turn in (b"a", b"b"):
            for name, call in zip((b"1", b"2"), calls):
                call.send(payload=name + turn)
        for name, answer in zip((b"1", b"2"), answers):
            self.assertEqual([next(answer).payload for _ in range(2)], [name + b"a", name + b"b"])
        # One ends, and the other goes on.
        self.assertEqual(calls[0].finish_and_wait().status, Status.OK)
        calls[1].send(payload=b"more")
        self.assertEqual(next(answers[1]).payload, b"more")
        self.assertEqual(calls[1].finish_and_wait().status, Status.OK)

    def test_channels_are_apart_and_on_one_socket(self):
        peer = self.connect(channels=(1, 9))
        for channel in (9, 1):
            self.calls_well(peer, channel)

    def test_a_cancelled_call_is_over_and_its_handler_too(self):
        server = Server()
        self.addCleanup(server.child.kill)
        peer = Peer(self.services)
        peer.connect(server.url)
        self.addCleanup(peer.socket.shutdown)
        call = peer.method(f"{TEST}.StreamingOutputCall").invoke(
            request_args={"response_parameters": [{"size": 1}, {"size": 1, "interval_us": NEVER_US}]}
        )
        next(iter(call))
        # The handler waits with its second answer, and nothing else would end it.
        self.assertTrue(call.cancel())
        self.calls_well(peer)
        self.assertEqual(server.stop(), 0)
        self.assertNotIn("still open", "".join(server.errors))
        self.assertEqual(peer.closed.take("the close frame"), 1001)

    def test_what_is_not_there_is_not_found(self):
        peer = self.connect()
        self.assertEqual(error_of(peer.method("grpc.testing.UnimplementedService.UnimplementedCall")), Status.NOT_FOUND)
        self.calls_well(peer)
        # A service that is there, and a method that is not.
        file = descriptor_pb2.FileDescriptorProto()
        echo_pb2.DESCRIPTOR.CopyToProto(file)
        file.service[0].method[0].name = "Shout"
        peer = Peer(services_of(file))
        peer.connect(self.server.url)
        self.addCleanup(peer.socket.shutdown)
        self.assertEqual(error_of(peer.method("pw.rpc.EchoService.Shout")), Status.NOT_FOUND)

    def test_the_status_of_a_failure_comes_over(self):
        method = self.connect().method(f"{TEST}.UnaryCall")
        status, _ = method(response_status={"code": Status.RESOURCE_EXHAUSTED.value, "message": "full"})
        self.assertEqual(status, Status.RESOURCE_EXHAUSTED)


class Secure(unittest.TestCase):
    """The same over TLS."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        maker = pathlib.Path(__file__).with_name("certificate.py")
        made = subprocess.run(
            [place("HEADWATER_PYTHON"), maker, folder.name], check=True, capture_output=True, text=True
        )
        self.authority, key, *_ = made.stdout.splitlines()
        self.server = Server("wss", "--cert", self.authority, "--key", key)
        self.addCleanup(self.server.child.kill)
        self.services = own(benchmark_pb2)

    def test_calls_pass_over_tls(self):
        peer = Peer(self.services)
        peer.connect(self.server.url, "pw_rpc", authority=self.authority)
        self.addCleanup(peer.socket.shutdown)
        status, response = peer.method("pw.rpc.Benchmark.UnaryEcho")(payload=b"\x00" * 50000)
        self.assertEqual((status, response.payload), (Status.OK, b"\x00" * 50000), "more than one record of TLS")
        call = peer.method("pw.rpc.Benchmark.BidirectionalEcho").invoke()
        answers = iter(call)
        for at in range(20):
            call.send(payload=bytes([at]))
            self.assertEqual(next(answers).payload, bytes([at]))
        self.assertEqual(call.finish_and_wait().status, Status.OK)
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(peer.closed.take("the close frame"), 1001)

    def test_a_server_that_the_client_does_not_trust_gets_no_call(self):
        peer = Peer(self.services)
        with self.assertRaises(ssl.SSLCertVerificationError):
            peer.connect(self.server.url, "pw_rpc")


class Device(unittest.TestCase):
    """The example `device`, which restarts in the middle of a call."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.updater = compiled("device.proto")

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.flash = str(pathlib.Path(folder.name) / "flash.txt")

    def start(self) -> tuple:
        """The device, its URL and its version."""
        device = Program(place("HEADWATER_DEVICE"), "--listen", "127.0.0.1:0", "--flash", self.flash)
        self.addCleanup(device.child.kill)
        _, url, _, version = device.line("ready", lambda line: line.startswith("ready ")).split()
        return device, url, version

    def install(self, peer: Peer, version: str):
        """The call, which the device that was asked does not answer any more."""
        device, url, _ = self.start()
        peer.connect(url)
        answers = Inbox()
        call = peer.method("device.Updater.Install").invoke(
            request_args={"version": version}, on_next=lambda _, response: answers.put(response.version)
        )
        device.line("restarting", lambda line: line == "restarting")
        self.assertEqual(device.child.wait(PATIENCE_SECONDS), 0)
        self.assertEqual(peer.closed.take("the close frame"), 1012, "service restart")
        self.assertFalse(call.completed())
        return call, answers

    def test_s5_52_u_15_a_device_answers_after_its_restart_what_was_asked_before(self):
        peer = Peer(self.updater)
        call, _ = self.install(peer, "v2")
        _, url, version = self.start()
        self.assertEqual(version, "v2")
        peer.connect(url)
        status, response = call.wait()
        self.assertEqual((status, response.version), (Status.OK, "v2"))

    def test_s5_52_a_client_that_has_restarted_too_hears_the_answer(self):
        self.install(Peer(self.updater), "v3")
        peer, answers = Peer(self.updater), Inbox()
        peer.method("device.Updater.Install").open(on_next=lambda _, response: answers.put(response.version))
        _, url, _ = self.start()
        peer.connect(url)
        self.assertEqual(answers.take("the answer"), "v3")

    def test_u_15_an_answer_is_given_once(self):
        peer = Peer(self.updater)
        call, answers = self.install(peer, "v2")
        device, url, _ = self.start()
        peer.connect(url)
        self.assertEqual(call.wait().status, Status.OK)
        self.assertEqual(answers.take("the answer"), "v2")
        device.line("that it has answered", lambda line: line == "answered v2")
        peer.socket.shutdown()
        device.stop()
        # The third run owes nothing: what it says first is the answer to a new call.
        again, url, _ = self.start()
        peer.connect(url)
        later = peer.method("device.Updater.Install").invoke(
            request_args={"version": ""}, on_next=lambda _, response: answers.put(response.version)
        )
        self.assertEqual(later.wait().status, Status.INVALID_ARGUMENT)
        self.assertNotIn("v2", answers.values)


if __name__ == "__main__":
    unittest.main()
