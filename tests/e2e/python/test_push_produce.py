"""The push channel's own text, which has more than its first clients know: many messages on one call, by grpcio."""

import unittest

import grpc
from harness import KEY, Service
from programs import PATIENCE_SECONDS
from push_channel import Consumer, bearer, connect, load

messages, services = load("headwater/push_channel")
Code = grpc.StatusCode


class Produce(unittest.TestCase):
    def setUp(self) -> None:
        self.service = Service("--channel-messages-max", "1000")
        self.addCleanup(self.service.stop)
        connection = connect(self.service)
        self.addCleanup(connection.close)
        self.stub = services.MessageSyncStub(connection)

    def produce(self, requests, **claims) -> list:
        """The place of each message, or the code that it was refused with."""
        replies = self.stub.Produce(iter(requests), timeout=PATIENCE_SECONDS, metadata=bearer(self.service, KEY, **claims))
        return [reply.offset if reply.HasField("offset") else reply.refused.code for reply in replies]

    def request(self, text: str, channel="c"):
        return messages.SubmitRequest(channel=channel, message=text)

    def consumer(self, channel="c") -> Consumer:
        request = messages.ConnRequest(channel=channel)
        consumer = Consumer(self.stub, request, bearer(self.service, KEY))
        self.addCleanup(consumer.call.cancel)
        return consumer

    def test_s3_12_s3_19_messages_of_a_stream_keep_their_order_and_a_full_channel_ends_nothing(self):
        texts = [str(number) for number in range(1000)]
        requests = [self.request(text) for text in [*texts, "one too many"]]
        requests.insert(500, self.request("elsewhere", channel="d"))
        expected = [*range(1, 1001), Code.RESOURCE_EXHAUSTED.value[0]]
        expected.insert(500, 1)
        self.assertEqual(self.produce(requests), expected)
        self.assertEqual(self.consumer().take(1000), texts)
        self.assertEqual(self.consumer("d").take(1), ["elsewhere"])

    def test_s3_20_a_token_is_looked_at_for_each_channel_of_a_stream(self):
        requests = [self.request("m", channel) for channel in ("mine", "other", "mine")]
        self.assertEqual(self.produce(requests, channel=["mine"]), [1, Code.PERMISSION_DENIED.value[0], 2])
        with self.assertRaises(grpc.RpcError) as refused:
            list(self.stub.Produce(iter(requests), timeout=PATIENCE_SECONDS))
        self.assertEqual(refused.exception.code(), Code.UNAUTHENTICATED)


if __name__ == "__main__":
    unittest.main()
