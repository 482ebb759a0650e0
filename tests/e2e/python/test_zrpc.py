"""zrpc's examples, called as zrpc's own text does it: by a WebSocket library and `struct`, and nothing of Headwater."""

import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

import grpc
import websocket
from harness import PATIENCE_SECONDS, ROOT, Program, place

sys.path.append(str(ROOT / "examples/proto"))
Person = grpc.protos("people.proto").Person
GOLDEN = bytes.fromhex("04 00 00 00 65 63 68 6f 77 6f 72 6c 64")
TEXT, BINARY, CLOSE = websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_CLOSE
# Frames of zrpc.v2.
CALL, MESSAGE, STATUS = 1, 3, 9
OK, UNIMPLEMENTED = 0, 12


def frame(method: str, blob: bytes) -> bytes:
    name = method.encode()
    return struct.pack("<I", len(name)) + name + blob


def closed(code: int, reason: str = "") -> tuple:
    return CLOSE, struct.pack("!H", code) + reason.encode()


class Server(Program):
    def __init__(self, variable: str, *options: str) -> None:
        super().__init__(place(variable), "--listen", "127.0.0.1:0", *options)
        self.url = self.line("ready", lambda line: line.startswith("ready ")).split()[1]

    def connect(self, *subprotocols: str) -> websocket.WebSocket:
        socket = websocket.create_connection(self.url, timeout=PATIENCE_SECONDS, subprotocols=list(subprotocols))
        assert socket.getsubprotocol() == (subprotocols[0] if subprotocols else None), socket.getsubprotocol()
        return socket


class Zrpc(unittest.TestCase):
    def start(self, *arguments: str) -> Server:
        server = Server(*arguments)
        self.addCleanup(server.child.kill)
        return server

    def connect(self, server: Server, *subprotocols: str) -> websocket.WebSocket:
        socket = server.connect(*subprotocols)
        self.addCleanup(socket.shutdown)
        return socket

    def test_s2_01_s2_04_s2_05_the_golden_bytes_are_echoed_ten_times_until_a_close_frame(self):
        server = self.start("HEADWATER_ECHO")
        old = self.connect(server)
        new = self.connect(server, "zrpc")
        for socket in (old, new):
            socket.send_binary(GOLDEN)
        for socket in (old, new):
            came = [socket.recv_data() for _ in range(11)]
            self.assertEqual(came, [(BINARY, b"world")] * 10 + [closed(1000)])
        self.assertEqual(server.stop(signal.SIGINT), 0)

    def test_s2_01_s2_05_the_old_end_is_a_text(self):
        server = self.start("HEADWATER_ECHO", "--ending", "text")
        socket = self.connect(server)
        # The basic read pattern of zrpc's text.
        socket.send_binary(GOLDEN)
        replies = []
        while True:
            reply = socket.recv()
            if reply == "CLOSE":
                break
            replies.append(reply)
        self.assertEqual(replies, [b"world"] * 10)

    def test_s2_20_a_failed_call_ends_with_a_typed_error(self):
        server = self.start("HEADWATER_ECHO")
        for message, code, text in (
            (b"\x04\x00", 3, "INVALID_ARGUMENT the frame is too short"),
            (frame("typo", b""), 12, "UNIMPLEMENTED there is no method /zrpc/typo"),
        ):
            socket = self.connect(server)
            socket.send_binary(message)
            self.assertEqual(socket.recv_data(), (TEXT, f"ERROR {code} {text}".encode()))
            self.assertEqual(socket.recv_data(), closed(4000 + code, text.split(" ", 1)[1]))

    def test_s2_21_calls_with_ids_share_a_socket(self):
        server = self.start("HEADWATER_ECHO")
        socket = self.connect(server, "zrpc.v2")
        for call, blob in ((1, b"one"), (2, b"two")):
            socket.send_binary(struct.pack("<BI", CALL, call) + frame("echo", blob))
        socket.send_binary(struct.pack("<BI", CALL, 3) + frame("typo", b""))
        came = {}
        while len([call for call in came if came[call][-1][0] == STATUS]) < 3:
            _, message = socket.recv_data()
            kind, call = struct.unpack_from("<BI", message)
            came.setdefault(call, []).append((kind, message[5:]))
        well = (STATUS, bytes([OK]) + struct.pack("<I", 0))
        self.assertEqual(came[1], [(MESSAGE, b"one")] * 10 + [well])
        self.assertEqual(came[2], [(MESSAGE, b"two")] * 10 + [well])
        self.assertEqual([(kind, rest[0]) for kind, rest in came[3]], [(STATUS, UNIMPLEMENTED)])

    def test_s2_08_s2_26_a_person_is_kept_and_several_are_streamed_back(self):
        with tempfile.TemporaryDirectory() as folder:
            database = str(pathlib.Path(folder) / "people.db")
            server = self.start("HEADWATER_PEOPLE", "--database", database)
            # The name as zrpc's own client sends it, and the generated service's.
            people = [self.create(server, name) for name in ("create_person", "people.create_person")]
            for at, kept in enumerate(people):
                self.assertEqual([person.name for person in kept], ["ann", "dave", "leif"])
                self.assertEqual([person.id for person in kept], [1 + 3 * at, 2 + 3 * at, 3 + 3 * at])
                self.assertEqual({person.label for person in kept}, {"person"})
            self.assertEqual(server.stop(signal.SIGINT), 0)
            again = self.start("HEADWATER_PEOPLE", "--database", database)
            socket = self.connect(again)
            socket.send_binary(frame("find_person", Person(name="ann").SerializeToString()))
            found = [Person.FromString(blob) for opcode, blob in self.until_close(socket) if opcode == BINARY]
            self.assertEqual([person.id for person in found], [1, 4])

    def create(self, server: Server, method: str) -> list:
        socket = self.connect(server)
        socket.send_binary(frame(method, Person(name="ann", email="ann@example.com").SerializeToString()))
        return [Person.FromString(blob) for opcode, blob in self.until_close(socket) if opcode == BINARY]

    def until_close(self, socket: websocket.WebSocket) -> list:
        came = []
        while not came or came[-1][0] != CLOSE:
            came.append(socket.recv_data())
        self.assertEqual(came[-1], closed(1000))
        return came

    def test_the_examples_call_each_other(self):
        server = self.start("HEADWATER_ECHO")
        command = [place("HEADWATER_ECHO"), "--call", server.url, "--blob", "Rhine"]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS, check=True)
        self.assertEqual(ended.stdout.splitlines(), ["Rhine"] * 10)


if __name__ == "__main__":
    unittest.main()
