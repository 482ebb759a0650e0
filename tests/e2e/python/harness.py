"""Starts the service and its clients, and waits for what they say."""

import logging
import re
import sys
import unittest

from azure.messaging.webpubsubclient import WebPubSubClient
from azure.messaging.webpubsubclient.models import CallbackType, WebPubSubProtocolType
from azure.messaging.webpubsubservice import WebPubSubServiceClient
from programs import PATIENCE_SECONDS, ROOT, Inbox, Program, place

KEY = "a-key-for-tests-0123456789-0123456789"
# The client warns of every close, the wanted ones too.
logging.getLogger("azure").propagate = False
logging.getLogger("azure").addHandler(logging.NullHandler())


class Service(Program):
    """The real service, on free ports of the loopback."""

    def __init__(self, *options: str, url="http://127.0.0.1:0") -> None:
        listen = ["--listen-clients", "127.0.0.1:0", "--listen-upstream", url]
        if url.startswith(("https:", "h3:", "wss:")):
            listen.append("--dev-tls")
        super().__init__(place("HEADWATER_BIN"), "serve", *listen, "--access-key", KEY, *options)
        ready = self.line("ready", lambda line: line.startswith("ready"))
        addresses = dict(re.findall(r"(\w+)=(\S+)", ready))
        self.clients, self.upstream = addresses["clients"], addresses["upstream"]
        printed = "\n".join(self.lines.values)
        self.connection_string = re.search(r"Endpoint=\S*AccessKey=\S*", printed)[0]
        self.root = re.search(r"^root certificate: (.*)$", printed, re.MULTILINE)

    def client_url(self, hub="chat", user=None, roles=None, groups=None, query="") -> str:
        """Made by the official service library from the printed connection string."""
        official = WebPubSubServiceClient.from_connection_string(self.connection_string, hub=hub)
        token = official.get_client_access_token(user_id=user, roles=roles or [], groups=groups or [])
        return token["url"] + (f"&{query}" if query else "")


def start_upstream(language: str, service: Service) -> Program:
    """The chat application in its own process, in Rust or in Python."""
    script = str(ROOT / "examples/python/chat_upstream.py")
    command = [place("HEADWATER_CHAT_UPSTREAM")] if language == "rust" else [sys.executable, script]
    where = ["--service", service.upstream, "--connection-string", service.connection_string]
    if service.root:
        where += ["--ca", service.root[1]]
    upstream = Program(*command, *where)
    upstream.line("ready", lambda line: line.startswith("ready"))
    return upstream


class Client:
    """The official client, connected, with inboxes for what it hears."""

    def __init__(self, service: Service, **who) -> None:
        self.group, self.server, self.disconnected = Inbox(), Inbox(), Inbox()
        connected = Inbox()
        self.official = WebPubSubClient(
            service.client_url(**who),
            protocol_type=WebPubSubProtocolType.JSON,
            # The client can miss an ack that is faster than itself, and then notices it only when this ends.
            ack_timeout=1,
            start_timeout=PATIENCE_SECONDS,
            message_retry_total=0,
            reconnect_retry_total=0,
        )
        self.official.subscribe(CallbackType.CONNECTED, connected.put)
        self.official.subscribe(CallbackType.GROUP_MESSAGE, self.group.put)
        self.official.subscribe(CallbackType.SERVER_MESSAGE, self.server.put)
        self.official.subscribe(CallbackType.DISCONNECTED, self.disconnected.put)
        self.official.open()
        event = connected.take("the connected message")
        self.user_id, self.connection_id = event.user_id, event.connection_id

    def ask(self, event: str, data="", data_type="text", **options):
        """What the application replied; it is there when the ack is."""
        self.official.send_event(event, data, data_type, **options)
        return self.server.take(f"the reply to {event}")

    def close(self) -> None:
        self.official.close()


class Case(unittest.TestCase):
    """A test on a service with a chat application in `language`."""

    language: str
    # Where the service takes upstreams.
    url = "http://127.0.0.1:0"

    @classmethod
    def setUpClass(cls) -> None:
        cls.service = Service(url=cls.url)
        cls.addClassCleanup(cls.service.stop)
        cls.upstream = start_upstream(cls.language, cls.service)
        cls.addClassCleanup(cls.upstream.stop)

    def client(self, **who) -> Client:
        client = Client(self.service, **who)
        self.addCleanup(client.close)
        return client
