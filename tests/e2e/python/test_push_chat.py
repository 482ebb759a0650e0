"""The push channel's later version, a chat: its own clients, unchanged, against the real service (S3-21, S3-22)."""

import unittest

import grpc
from harness import Service
from programs import PATIENCE_SECONDS
from push_channel import Consumer, connect, load

messages, services = load("push_chat")


def words(reply) -> tuple:
    return reply.name, reply.email, reply.header, reply.message, reply.time


class Chat(unittest.TestCase):
    def setUp(self) -> None:
        # The chat has one channel, which has no name and is for all.
        self.service = Service("--allow-anonymous-channels", "--fanout-channel", "")
        self.addCleanup(self.service.stop)
        self.stub = self.new_stub()

    def new_stub(self):
        connection = connect(self.service)
        self.addCleanup(connection.close)
        return services.MessageSyncStub(connection)

    def consumer(self) -> Consumer:
        consumer = Consumer(self.new_stub(), messages.ConnRequest(), text=words)
        self.addCleanup(consumer.call.cancel)
        consumer.wait_until_connected()
        return consumer

    def say(self, name: str, message: str) -> tuple:
        said = (name, f"{name}@example.org", "greeting", message, "2024-05-01 12:00:00")
        request = messages.SubmitRequest(**dict(zip(("name", "email", "header", "message", "time"), said)))
        self.assertEqual(self.stub.SubmitMessage(request, timeout=PATIENCE_SECONDS).reply, "received")
        return said

    def test_s3_21_who_logs_in_is_answered(self):
        request = messages.LogInRequest(email="ann@example.org", name="ann")
        self.assertTrue(self.stub.LogIn(request, timeout=PATIENCE_SECONDS).reply)

    def test_s3_11_s3_22_every_consumer_has_every_message_with_all_its_words(self):
        consumers = [self.consumer() for _ in range(3)]
        said = [self.say("ann", "hello"), self.say("bob", "hello yourself"), self.say("ann", "bye")]
        for consumer in consumers:
            self.assertEqual(consumer.take(3), said)

    def test_s3_22_the_fan_out_is_by_subscription_and_not_by_user(self):
        stayed, left = self.consumer(), self.consumer()
        first = self.say("ann", "one")
        self.assertEqual((stayed.take(1), left.take(1)), ([first], [first]))
        left.call.cancel()
        self.assertEqual(left.end(), grpc.StatusCode.CANCELLED)
        late = self.consumer()
        second = self.say("ann", "two")
        self.assertEqual((stayed.take(1), late.take(1)), ([second], [second]))
        self.assertEqual(left.texts.values, [])

    def test_s3_21_history_tells_late_joiners_what_was_said(self):
        for message in ("hello", "is anybody here?"):
            self.say("ann", message)
        history = self.stub.GetHistory(messages.HistoryRequest(name="bob"), timeout=PATIENCE_SECONDS).message
        for word in ("ann", "ann@example.org", "greeting", "2024-05-01 12:00:00", "hello", "is anybody here?"):
            self.assertIn(word, history)
        self.assertLess(history.index("hello"), history.index("is anybody here?"))


if __name__ == "__main__":
    unittest.main()
