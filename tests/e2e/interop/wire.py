"""gRPC down to its frames, on the HTTP/2 of `h2`: the one peer here that sees and sets the flag of every message."""

import gzip
import struct

import h2.config
import h2.connection
import h2.events

PATIENCE_SECONDS = 20


class Stream:
    """What came on one stream so far."""

    def __init__(self) -> None:
        self.headers, self.trailers = {}, {}
        self.data = bytearray()
        self.ended = False

    def messages(self) -> list:
        """Pairs of a message's bytes and whether it was compressed."""
        found, rest = [], bytes(self.data)
        while rest:
            compressed, length = struct.unpack_from("!?I", rest)
            message, rest = rest[5 : 5 + length], rest[5 + length :]
            if compressed and self.headers.get("grpc-encoding") != "gzip":
                raise AssertionError(f"a message is compressed, and the headers say {self.headers}")
            found.append((gzip.decompress(message) if compressed else message, compressed))
        return found

    @property
    def status(self) -> tuple:
        """The number and the message with which the server ended the call; both are text."""
        last = self.trailers or self.headers
        return last.get("grpc-status"), last.get("grpc-message", "")


def frame(message: bytes, compressed: bool) -> bytes:
    body = gzip.compress(message) if compressed else message
    return struct.pack("!?I", compressed, len(body)) + body


class Wire:
    """One end of a connection, driven by whoever calls: no thread of its own."""

    def __init__(self, socket, is_client: bool) -> None:
        self.socket = socket
        socket.settimeout(PATIENCE_SECONDS)
        config = h2.config.H2Configuration(client_side=is_client, header_encoding="utf-8")
        self.http = h2.connection.H2Connection(config)
        self.http.initiate_connection()
        self.streams = {}
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.http.data_to_send())

    def turn(self) -> bool:
        """Takes in what the other end says next. False when it has gone."""
        received = self.socket.recv(65536)
        if not received:
            return False
        for event in self.http.receive_data(received):
            self.take(event)
        self.flush()
        return True

    def take(self, event) -> None:
        if isinstance(event, (h2.events.RequestReceived, h2.events.ResponseReceived)):
            self.stream(event).headers.update(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            self.stream(event).trailers.update(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.stream(event).data += event.data
            self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            self.stream(event).ended = True

    def stream(self, event) -> Stream:
        return self.streams.setdefault(event.stream_id, Stream())

    def send_headers(self, stream_id: int, headers: dict, end: bool = False) -> None:
        self.http.send_headers(stream_id, list(headers.items()), end_stream=end)
        self.flush()

    def send(self, stream_id: int, data: bytes, end: bool) -> None:
        """Sends all of it, as fast as the other end gives leave. Less, if the other end ends the stream meanwhile."""
        at = 0
        while at < len(data) or end:
            stream = self.streams.get(stream_id)
            if stream and stream.ended and self.http.config.client_side:
                return
            room = min(self.http.local_flow_control_window(stream_id), self.http.max_outbound_frame_size)
            if room == 0 and at < len(data):
                if not self.turn():
                    raise AssertionError("the connection ended while data was being sent")
                continue
            part = data[at : at + room]
            at += len(part)
            last = end and at == len(data)
            self.http.send_data(stream_id, part, end_stream=last)
            self.flush()
            if last:
                return
