"""gRPC over HTTP/3, called by HTTP/3 clients that know nothing of Headwater: aioquic frame by frame, and libcurl."""

import asyncio
import collections
import contextlib
import struct
import sys
import tempfile
import unittest
from urllib.parse import urlsplit

import grpc
from aioquic.asyncio import QuicConnectionProtocol
from aioquic.asyncio import connect as connect_quic
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StopSendingReceived, StreamReset
from certificate import make_certificate
from curl_cffi import Curl, CurlHttpVersion, CurlOpt
from programs import PATIENCE_SECONDS, ROOT, Program, place

sys.path.append(str(ROOT / "tests/e2e/interop"))
from testing_protos import ECHO_INITIAL, ECHO_TRAILING, empty, messages, payload  # noqa: E402

benchmark = grpc.protos("pw_rpc/benchmark.proto")
TEST = "/grpc.testing.TestService/"
OK, DEADLINE_EXCEEDED, NOT_FOUND, UNIMPLEMENTED = "0", "4", "5", "12"
# Longer than any test: what waits for it waits until somebody ends it.
NEVER_US = 2**30
CANCELLED = int(ErrorCode.H3_REQUEST_CANCELLED)
STILL_OPEN = "still open"


def frame(message) -> bytes:
    """A message as gRPC has it in a body."""
    encoded = message.SerializeToString()
    return struct.pack(">BI", 0, len(encoded)) + encoded


def unframe(body: bytes, kind) -> list:
    """The messages of a body, which has to end with one."""
    found = []
    while body:
        flag, length = struct.unpack_from(">BI", body)
        assert flag == 0, "nobody asked for compression"
        assert len(body) >= 5 + length, "the body ends within a message"
        found.append(kind.FromString(body[5 : 5 + length]))
        body = body[5 + length :]
    return found


class Case(unittest.TestCase):
    """A server of its own for each test."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.authority, key = make_certificate(folder.name)
        options = ["--listen", "h3://127.0.0.1:0", "--cert", self.authority, "--key", key]
        self.server = Program(place("HEADWATER_INTEROP"), *options)
        self.addCleanup(self.server.child.kill)
        listening = self.server.line("where it listens", lambda line: line.startswith("listening "))
        self.server.line("ready", lambda line: line == "ready")
        self.port = urlsplit(listening.split()[1]).port

    def stops_at_once(self) -> None:
        """No handler is left that the end of the server would have to wait for."""
        self.assertEqual(self.server.stop(), 0)
        self.assertNotIn(STILL_OPEN, "".join(self.server.errors))


class Stream:
    """One call of an HTTP/3 connection."""

    def __init__(self, client, number: int) -> None:
        self.client, self.number = client, number
        self.came = asyncio.Queue()
        self.body = b""
        self.sections = []
        self.ended = False
        # The error codes of what the server sent, if it did.
        self.stopped = self.reset = None

    def send(self, message=None, end=False) -> None:
        self.client.http.send_data(self.number, frame(message) if message else b"", end)
        self.client.transmit()

    def cancel(self) -> None:
        """As gRPC over HTTP/3 has it: both directions end with H3_REQUEST_CANCELLED."""
        self.client._quic.reset_stream(self.number, CANCELLED)
        self.client._quic.stop_stream(self.number, CANCELLED)
        self.client.transmit()

    async def take(self) -> None:
        """Waits for what comes next."""
        event = await asyncio.wait_for(self.came.get(), PATIENCE_SECONDS)
        if isinstance(event, HeadersReceived):
            self.sections.append({name.decode(): value.decode() for name, value in event.headers})
        elif isinstance(event, DataReceived):
            self.body += event.data
        elif isinstance(event, StopSendingReceived):
            self.stopped = event.error_code
            return
        elif isinstance(event, StreamReset):
            self.reset = event.error_code
            return
        else:
            raise AssertionError(f"stream {self.number}: {event}")
        self.ended = event.stream_ended

    async def message(self, kind):
        """The next message."""
        while True:
            if len(self.body) >= 5:
                end = 5 + struct.unpack_from(">BI", self.body)[1]
                if len(self.body) >= end:
                    (message,) = unframe(self.body[:end], kind)
                    self.body = self.body[end:]
                    return message
            await self.take()

    async def end(self) -> dict:
        """What the last section says."""
        while not self.ended:
            assert self.reset is None, f"reset with {self.reset:#x}"
            await self.take()
        return self.sections[-1]


class Client(QuicConnectionProtocol):
    """Many calls on one connection."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.streams = collections.defaultdict(list)

    def quic_event_received(self, event) -> None:
        events = list(self.http.handle_event(event))
        if isinstance(event, (StreamReset, StopSendingReceived)):
            events.append(event)
        for one in events:
            if one.stream_id in self.streams:
                self.streams[one.stream_id].came.put_nowait(one)
        if isinstance(event, ConnectionTerminated):
            for stream in self.streams.values():
                stream.came.put_nowait(event)

    def call(self, path: str, *metadata: tuple) -> Stream:
        stream = Stream(self, self._quic.get_next_available_stream_id())
        self.streams[stream.number] = stream
        fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "127.0.0.1"),
            (":path", path),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *metadata,
        ]
        self.http.send_headers(stream.number, [(name.encode(), value.encode()) for name, value in fields])
        self.transmit()
        return stream


class Aioquic(Case, unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        # Only the tests are to be heard, not how long a step of one takes.
        asyncio.get_running_loop().set_debug(False)

    @contextlib.asynccontextmanager
    async def connect(self):
        config = QuicConfiguration(alpn_protocols=H3_ALPN, cafile=self.authority)
        async with connect_quic("127.0.0.1", self.port, configuration=config, create_protocol=Client) as client:
            yield client

    def ends(self, trailers: dict, status: str, message=None) -> None:
        self.assertEqual((trailers.get("grpc-status"), trailers.get("grpc-message")), (status, message), trailers)

    async def test_s4_80_a_unary_call_has_the_same_shape_as_over_http2(self):
        async with self.connect() as client:
            call = client.call(TEST + "UnaryCall")
            call.send(messages.SimpleRequest(response_size=300_000), end=True)
            self.ends(await call.end(), OK)
            headers, _ = call.sections
            self.assertEqual((headers[":status"], headers["content-type"]), ("200", "application/grpc"))
            (response,) = unframe(call.body, messages.SimpleResponse)
            self.assertEqual(response.payload.body, bytes(300_000))
        self.stops_at_once()

    async def test_the_benchmark_service_of_pw_rpc_echoes_both_ways(self):
        async with self.connect() as client:
            call = client.call("/pw.rpc.Benchmark/BidirectionalEcho")
            for at in range(3):
                call.send(benchmark.Payload(payload=bytes([at])))
                self.assertEqual((await call.message(benchmark.Payload)).payload, bytes([at]))
            call.send(end=True)
            self.ends(await call.end(), OK)

    async def test_a_server_stream_comes_in_order(self):
        sizes = [1, 70_000, 0, 3]
        async with self.connect() as client:
            call = client.call(TEST + "StreamingOutputCall")
            wanted = [messages.ResponseParameters(size=size) for size in sizes]
            call.send(messages.StreamingOutputCallRequest(response_parameters=wanted), end=True)
            self.ends(await call.end(), OK)
            came = unframe(call.body, messages.StreamingOutputCallResponse)
            self.assertEqual([len(message.payload.body) for message in came], sizes)

    async def test_a_client_stream_is_answered_once(self):
        sizes = [27182, 8, 1828, 45904]
        async with self.connect() as client:
            call = client.call(TEST + "StreamingInputCall")
            for size in sizes:
                call.send(messages.StreamingInputCallRequest(payload=payload(size)))
            call.send(end=True)
            self.ends(await call.end(), OK)
            (response,) = unframe(call.body, messages.StreamingInputCallResponse)
            self.assertEqual(response.aggregated_payload_size, sum(sizes))

    async def test_in_a_bidirectional_call_each_answer_comes_before_the_next_request(self):
        async with self.connect() as client:
            calls = [client.call(TEST + "FullDuplexCall") for _ in range(2)]
            for size in (31415, 9, 2653):
                wanted = [messages.ResponseParameters(size=size)]
                for call in calls:
                    call.send(messages.StreamingOutputCallRequest(response_parameters=wanted))
                for call in calls:
                    message = await call.message(messages.StreamingOutputCallResponse)
                    self.assertEqual(len(message.payload.body), size)
            for call in calls:
                call.send(end=True)
                self.ends(await call.end(), OK)

    async def test_metadata_come_back_with_the_headers_and_with_the_trailers(self):
        async with self.connect() as client:
            call = client.call(TEST + "UnaryCall", (ECHO_INITIAL, "a text"), (ECHO_TRAILING, "q6ur"))
            call.send(messages.SimpleRequest(), end=True)
            trailers = await call.end()
            self.ends(trailers, OK)
            self.assertEqual(call.sections[0][ECHO_INITIAL], "a text")
            self.assertEqual(trailers[ECHO_TRAILING].rstrip("="), "q6ur")

    async def test_an_error_without_a_message_is_one_section(self):
        async with self.connect() as client:
            call = client.call(TEST + "NoMethod")
            call.send(empty.Empty(), end=True)
            trailers = await call.end()
            self.assertEqual(trailers["grpc-status"], UNIMPLEMENTED)
            self.assertEqual((len(call.sections), call.body), (1, b""), "trailers only")
            self.assertEqual(trailers[":status"], "200")

    async def test_s4_82_a_deadline_ends_both_directions_and_the_handler(self):
        async with self.connect() as client:
            call = client.call(TEST + "FullDuplexCall", ("grpc-timeout", "50m"))
            wanted = [messages.ResponseParameters(size=1, interval_us=NEVER_US)]
            call.send(messages.StreamingOutputCallRequest(response_parameters=wanted))
            while call.reset is None or call.stopped is None:
                await call.take()
            self.assertEqual((call.reset, call.stopped), (CANCELLED, CANCELLED))
        self.stops_at_once()

    async def test_s4_81_request_cancelled_reaches_the_handler_and_spares_the_connection(self):
        async with self.connect() as client:
            call = client.call(TEST + "FullDuplexCall")
            wanted = [messages.ResponseParameters(size=size) for size in (1, 1)]
            wanted[1].interval_us = NEVER_US
            call.send(messages.StreamingOutputCallRequest(response_parameters=wanted))
            await call.message(messages.StreamingOutputCallResponse)
            # The handler waits with its second answer, and nothing else would end it.
            call.cancel()
            other = client.call(TEST + "EmptyCall")
            other.send(empty.Empty(), end=True)
            self.ends(await other.end(), OK)
            # Beside the client, whose connection is to stay for this.
            await asyncio.to_thread(self.stops_at_once)

    async def test_s4_83_a_server_that_is_done_first_tells_the_client_to_stop_without_an_error(self):
        async with self.connect() as client:
            call = client.call(TEST + "FullDuplexCall")
            status = messages.EchoStatus(code=int(NOT_FOUND), message="gone")
            call.send(messages.StreamingOutputCallRequest(response_status=status))
            self.ends(await call.end(), NOT_FOUND, "gone")
            while call.stopped is None:
                await call.take()
            self.assertEqual(call.stopped, int(ErrorCode.H3_NO_ERROR))
        self.stops_at_once()


class Libcurl(Case):
    """A finished call must not be seen to be reset, which libcurl takes for a failure."""

    def post(self, method: str, request, *headers: str) -> tuple:
        """The header lines of the answer, and those after its body; and the body."""
        curl, body, before, after = Curl(), bytearray(), [], []

        def header(line: bytes) -> None:
            (after if body else before).append(line.decode().strip())

        fields = ["content-type: application/grpc", "te: trailers", *headers]
        try:
            for option, value in (
                (CurlOpt.URL, f"https://127.0.0.1:{self.port}{TEST}{method}".encode()),
                (CurlOpt.HTTP_VERSION, CurlHttpVersion.V3ONLY),
                (CurlOpt.CAINFO, self.authority.encode()),
                (CurlOpt.HTTPHEADER, [field.encode() for field in fields]),
                (CurlOpt.POST, 1),
                (CurlOpt.POSTFIELDS, frame(request)),
                (CurlOpt.POSTFIELDSIZE, len(frame(request))),
                (CurlOpt.TIMEOUT, PATIENCE_SECONDS),
                (CurlOpt.HEADERFUNCTION, header),
                (CurlOpt.WRITEFUNCTION, body.extend),
            ):
                curl.setopt(option, value)
            # It raises an error if the call does not end well for HTTP.
            curl.perform()
        finally:
            curl.close()
        return before, after, bytes(body)

    def test_s4_83_a_unary_call_ends_well_time_and_again(self):
        for size in (0, 7, 100_000):
            before, after, body = self.post("UnaryCall", messages.SimpleRequest(response_size=size))
            (response,) = unframe(body, messages.SimpleResponse)
            self.assertEqual(response.payload.body, bytes(size))
            self.assertEqual(before[0], "HTTP/3 200")
            self.assertIn("grpc-status: 0", after)
        self.stops_at_once()

    def test_metadata_come_back_in_headers_and_trailers(self):
        sent = (f"{ECHO_INITIAL}: a text", f"{ECHO_TRAILING}: q6ur")
        before, after, _ = self.post("UnaryCall", messages.SimpleRequest(response_size=1), *sent)
        self.assertIn(f"{ECHO_INITIAL}: a text", before)
        self.assertTrue(any(line.startswith(f"{ECHO_TRAILING}: q6ur") for line in after), after)

    def test_an_error_without_a_message_is_one_section(self):
        before, after, body = self.post("NoMethod", empty.Empty())
        self.assertIn(f"grpc-status: {UNIMPLEMENTED}", before)
        self.assertEqual((after, body), ([], b""))


if __name__ == "__main__":
    unittest.main()
