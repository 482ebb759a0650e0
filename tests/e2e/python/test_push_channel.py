"""The push channel's first version: its own clients, unchanged, against the real service."""

import concurrent.futures
import pathlib
import signal
import threading
import unittest

import grpc
from harness import KEY, Service
from programs import PATIENCE_SECONDS
from push_channel import Consumer, bearer, connect, load, start_consumer

messages, services = load("push")
Code = grpc.StatusCode
# Not what one connection may carry, but well below.
CALLS_A_CONNECTION = 100


class Push(unittest.TestCase):
    """A test on a service of this class's own, with a channel of its own."""

    options = ["--allow-anonymous-channels"]
    metadata = ()

    @classmethod
    def setUpClass(cls) -> None:
        cls.service = Service(*cls.options)
        cls.addClassCleanup(cls.service.stop)

    def setUp(self) -> None:
        self.channel = self.id().rsplit(".", 1)[1]
        self.stub = self.new_stub()

    def new_stub(self):
        connection = connect(self.service)
        self.addCleanup(connection.close)
        return services.MessageSyncStub(connection)

    def submit(self, message: str, channel=None, stub=None, metadata=()) -> str:
        request = messages.SubmitRequest(channel=self.channel if channel is None else channel, message=message)
        return (stub or self.stub).SubmitMessage(request, timeout=PATIENCE_SECONDS, metadata=metadata).reply

    def consumer(self, channel=None, stub=None, metadata=()) -> Consumer:
        request = messages.ConnRequest(channel=self.channel if channel is None else channel)
        consumer = Consumer(stub or self.new_stub(), request, metadata)
        self.addCleanup(consumer.call.cancel)
        return consumer

    def code_of(self, call, *args, **more) -> Code:
        with self.assertRaises(grpc.RpcError) as caught:
            call(*args, **more)
        return caught.exception.code()


class FirstVersion(Push):
    def test_s3_01_a_submit_is_answered_before_any_consumer_exists(self):
        self.assertEqual(self.submit("hello"), "received")

    def test_s3_02_messages_are_pushed_to_a_consumer_that_waits(self):
        consumer = self.consumer()
        consumer.wait_until_connected()
        for text in "xyz":
            self.submit(text)
            self.assertEqual(consumer.take(1), [text])

    def test_s3_05_s3_12_s3_13_what_waits_comes_in_order_and_without_another_submit(self):
        for text in "abc":
            self.submit(text)
        self.assertEqual(self.consumer().take(3), ["a", "b", "c"])

    def test_s3_03_three_producers_lose_nothing_and_each_keeps_its_order(self):
        consumer = self.consumer()
        stubs = [self.new_stub() for _ in range(3)]

        def produce(name):
            for number in range(100):
                self.submit(f"{name} {number}", stub=stubs[name])

        producers = [threading.Thread(target=produce, args=(name,)) for name in range(3)]
        for producer in producers:
            producer.start()
        got = consumer.take(300)
        for producer in producers:
            producer.join()
        for name in range(3):
            mine = [text for text in got if text.startswith(f"{name} ")]
            self.assertEqual(mine, [f"{name} {number}" for number in range(100)])

    def test_s3_06_each_of_100_messages_goes_to_exactly_one_of_two_consumers(self):
        consumers = [self.consumer(), self.consumer()]
        for consumer in consumers:
            consumer.wait_until_connected()
        expected = {str(number) for number in range(100)}
        for text in sorted(expected):
            self.submit(text)
        self.submit("end")
        self.submit("end")
        # One after the other by turns, so each of them gets one of the last two.
        for consumer in consumers:
            consumer.texts.take("its last message", lambda text: text == "end")
        one, other = (consumer.texts.values for consumer in consumers)
        self.assertEqual(set(one) | set(other), expected)
        self.assertEqual(set(one) & set(other), set())
        self.assertEqual(len(one) + len(other), 100)
        self.assertTrue(one and other, "both work")

    def test_s3_08_channels_do_not_leak_into_each_other(self):
        self.submit("left", channel="left")
        self.submit("right", channel="right")
        left, right = self.consumer("left"), self.consumer("right")
        self.submit("left again", channel="left")
        self.assertEqual(left.take(2), ["left", "left again"])
        self.assertEqual(right.take(1), ["right"])
        self.assertEqual(right.texts.values, [])

    def test_s3_16_what_a_killed_consumer_did_not_get_the_next_one_gets(self):
        expected = [f"{number:04} {'x' * 500}" for number in range(2000)]
        for text in expected[:1000]:
            self.submit(text)
        killed = start_consumer(self.service, self.channel)
        self.addCleanup(killed.child.kill)
        printed = {killed.line("a first message", lambda line: True)}
        for text in expected[1000:]:
            self.submit(text)
            if text == expected[1250]:
                killed.child.send_signal(signal.SIGKILL)
        with killed.lines.changed:
            killed.lines.changed.wait_for(lambda: killed.ended, PATIENCE_SECONDS)
            # A line that the kill has cut is none.
            printed |= set(killed.lines.values) & set(expected)
        next_one, got = self.consumer(), set()
        while set(expected) - printed - got:
            got.update(next_one.take(1))
        self.assertEqual(printed | got, set(expected))

    def test_s3_12_10000_messages_keep_their_order_submitted_before_the_consumer_and_during(self):
        count = 10_000
        consumer = None
        for number in range(count):
            if number == count // 2:
                consumer = self.consumer()
            self.submit(str(number))
        self.assertEqual(consumer.take(count), [str(number) for number in range(count)])

    def test_a_channel_name_has_at_most_256_bytes(self):
        self.assertEqual(self.submit("fits", channel="n" * 256), "received")
        self.assertEqual(self.code_of(self.submit, "m", channel="n" * 300), Code.INVALID_ARGUMENT)
        self.assertEqual(self.consumer(channel="n" * 300).end(), Code.INVALID_ARGUMENT)
        huge = "n" * 10_000_000
        self.assertEqual(self.code_of(self.submit, "m", channel=huge), Code.RESOURCE_EXHAUSTED)
        self.assertEqual(self.consumer(channel=huge).end(), Code.RESOURCE_EXHAUSTED)
        self.assertEqual(self.submit("the next call goes on"), "received")

    def test_s3_18_a_consumer_that_left_is_given_nothing(self):
        consumer = self.consumer()
        consumer.wait_until_connected()
        consumer.call.cancel()
        self.assertEqual(consumer.end(), Code.CANCELLED)
        self.submit("for the one who stays")
        self.assertEqual(self.consumer().take(1), ["for the one who stays"])

    def test_a_consumer_that_never_reads_disturbs_nobody(self):
        stopped = start_consumer(self.service, self.channel)
        self.addCleanup(stopped.child.kill)
        self.submit("first")
        stopped.line("the first message", lambda line: line == "first")
        stopped.child.send_signal(signal.SIGSTOP)
        reading, elsewhere = self.consumer(), self.consumer(f"{self.channel} elsewhere")
        reading.wait_until_connected()
        expected = {f"{number:03} {'x' * 20_000}" for number in range(300)}
        for text in sorted(expected):
            self.submit(text)
        self.submit("unhindered", channel=f"{self.channel} elsewhere")
        self.assertEqual(elsewhere.take(1), ["unhindered"])
        # What the stopped one holds comes once its connection is given up; the first message perhaps, too.
        got = set()
        while expected - got:
            got.update(reading.take(1))


class Crowd(Push):
    def test_s3_17_10000_idle_consumers_on_one_process(self):
        count = 10_000
        before = self.resident_bytes()
        connections = [self.new_stub() for _ in range(count // CALLS_A_CONNECTION)]
        calls = []
        for number in range(count):
            request = messages.ConnRequest(channel=f"idle {number}")
            calls.append(connections[number % len(connections)].PushMessageStream(request))
            self.addCleanup(calls[-1].cancel)
        for call in calls:
            call.initial_metadata()
        grown = self.resident_bytes() - before
        print(f"{grown // count} bytes of resident memory per idle consumer")
        self.assertLess(grown // count, 32 << 10)
        with concurrent.futures.ThreadPoolExecutor() as threads:
            reply = threads.submit(next, calls[4321])
            self.submit("wake up", channel="idle 4321")
            self.assertEqual(reply.result(PATIENCE_SECONDS).message, "wake up")

    def resident_bytes(self) -> int:
        status = pathlib.Path(f"/proc/{self.service.child.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) << 10


class Full(Push):
    options = ["--allow-anonymous-channels", "--channel-messages-max", "10", "--channel-bytes-max", "100000"]

    def test_s3_19_a_full_channel_refuses_the_producer_and_keeps_what_it_has(self):
        for number in range(10):
            self.submit(str(number))
        self.assertEqual(self.code_of(self.submit, "one too many"), Code.RESOURCE_EXHAUSTED)
        self.assertEqual(self.submit("elsewhere", channel="elsewhere"), "received")
        consumer = self.consumer()
        self.assertEqual(consumer.take(10), [str(number) for number in range(10)])

    def test_s3_19_a_channel_is_bounded_in_bytes_too(self):
        self.submit("a" * 60_000)
        self.assertEqual(self.code_of(self.submit, "b" * 60_000), Code.RESOURCE_EXHAUSTED)
        self.assertEqual(self.consumer().take(1), ["a" * 60_000])


class WithToken(Push):
    """S3-20: what a service does that was not told to take anonymous calls."""

    options = []

    def test_s3_20_a_call_without_a_token_is_unauthenticated(self):
        self.assertEqual(self.code_of(self.submit, "m"), Code.UNAUTHENTICATED)
        self.assertEqual(self.consumer().end(), Code.UNAUTHENTICATED)

    def test_s3_20_a_token_of_another_key_is_unauthenticated(self):
        forged = bearer(self.service, "another-key-for-tests-0123456789-0123456789")
        self.assertEqual(self.code_of(self.submit, "m", metadata=forged), Code.UNAUTHENTICATED)

    def test_s3_20_a_token_opens_every_channel(self):
        token = bearer(self.service, KEY)
        self.assertEqual(self.submit("m", metadata=token), "received")
        self.assertEqual(self.consumer(metadata=token).take(1), ["m"])

    def test_s3_20_a_token_is_bound_to_the_channels_that_it_names(self):
        token = bearer(self.service, KEY, channel=["mine", "mine too"])
        for name in ("mine", "mine too"):
            self.assertEqual(self.submit("m", channel=name, metadata=token), "received")
            self.assertEqual(self.consumer(name, metadata=token).take(1), ["m"])
        self.assertEqual(self.code_of(self.submit, "m", metadata=token), Code.PERMISSION_DENIED)
        self.assertEqual(self.consumer(metadata=token).end(), Code.PERMISSION_DENIED)

    def test_s3_20_a_token_for_a_hub_is_for_no_channel(self):
        token = bearer(self.service, KEY, hub="chat")
        self.assertEqual(self.code_of(self.submit, "m", metadata=token), Code.PERMISSION_DENIED)


class Leaving(Push):
    def test_a_service_that_leaves_ends_its_consumers_as_unavailable(self):
        consumer = self.consumer()
        consumer.wait_until_connected()
        self.submit("before")
        self.assertEqual(consumer.take(1), ["before"])
        self.assertEqual(self.service.stop(), 0)
        self.assertEqual(consumer.end(), Code.UNAVAILABLE)
        self.assertEqual(consumer.call.details(), "the service is shutting down")

    @classmethod
    def setUpClass(cls) -> None:
        cls.service = Service(*cls.options)
        cls.addClassCleanup(cls.service.child.kill)

if __name__ == "__main__":
    unittest.main()
