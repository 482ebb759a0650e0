"""The official Python client, unmodified, against the real service, with the application in Rust and in Python."""

import threading
import unittest

from azure.messaging.webpubsubclient.models import OpenClientError, SendMessageError

from harness import Case

PAYLOADS = [
    ("text", "grüße, 世界"),
    ("json", {"nested": [1, "two", None, {"three": 3.5}]}),
    ("json", "a JSON string stays a JSON string"),
    ("binary", memoryview(bytes([0, 1, 127, 128, 255]))),
    ("protobuf", memoryview(bytes([10, 1, 97]))),
]


class Chat:
    """The tests; the classes below run them once per language of the upstream."""

    def pair(self, group):
        clients = self.client(user="ann"), self.client(user="bob")
        for client in clients:
            client.official.join_group(group)
        return clients

    def test_s1_05_a_client_connects_with_the_user_id_of_its_token(self):
        client = self.client(user="ann")
        self.assertEqual(client.user_id, "ann")
        who = client.ask("whoami").data
        self.assertEqual((who["userId"], who["connectionId"]), ("ann", client.connection_id))
        self.assertEqual((who["hub"], who["subprotocol"]), ("chat", "json.webpubsub.azure.v1"))

    def test_s1_18_the_application_gives_a_user_id_and_groups(self):
        client = self.client(query="user=carl&lobby=1")
        self.assertEqual(client.user_id, "carl")
        self.assertEqual(client.ask("say", "hi").data, "said")
        heard = client.group.take("the message to the lobby")
        self.assertEqual((heard.group, heard.data), ("lobby", {"user": "carl", "text": "hi"}))

    def test_s1_06_a_refused_connect_is_no_connection(self):
        for who in ({"user": "dora", "query": "refuse=1"}, {"user": "banned"}):
            with self.subTest(**who), self.assertLogs("azure") as log, self.assertRaises(OpenClientError):
                self.client(**who)
            self.assertIn("401", "".join(log.output))
        left = [line for line in self.upstream.lines.values if "dora" in line or "banned" in line]
        self.assertEqual(left, [], "one who never came in cannot leave")

    def test_s1_11_every_data_type_reaches_every_member_of_a_group(self):
        ann, bob = self.pair("all")
        for data_type, data in PAYLOADS:
            with self.subTest(data_type=data_type, data=data):
                ann.official.send_to_group("all", data, data_type)
                for client in (ann, bob):
                    heard = client.group.take(data_type)
                    self.assertEqual((heard.group, heard.from_user_id, heard.data_type), ("all", "ann", data_type))
                    self.assertEqual(heard.data, data)

    def test_s1_08_an_event_of_every_data_type_is_answered_with_the_same(self):
        ann, bob = self.pair("echoes")
        for data_type, data in PAYLOADS:
            with self.subTest(data_type=data_type, data=data):
                reply = ann.ask("echo", data, data_type)
                self.assertEqual((reply.data_type, reply.data), (data_type, data))
        self.assertEqual(bob.ask("echo", "mine").data, "mine", "bob heard his own reply only")

    def test_s1_13_after_leaving_a_client_hears_no_more(self):
        ann, bob = self.pair("left")
        bob.official.leave_group("left")
        ann.official.send_to_group("left", "unheard", "text")
        bob.official.join_group("left")
        ann.official.send_to_group("left", "marker", "text")
        self.assertEqual(bob.group.take().data, "marker")

    def test_s1_15_no_echo_leaves_the_sender_out(self):
        ann, bob = self.pair("quiet")
        ann.official.send_to_group("quiet", "not for ann", "text", no_echo=True)
        ann.official.send_to_group("quiet", "marker", "text")
        self.assertEqual(ann.group.take().data, "marker")
        self.assertEqual([bob.group.take().data, bob.group.take().data], ["not for ann", "marker"])

    def test_s1_24_a_duplicate_ack_id_has_no_second_effect(self):
        ann, bob = self.pair("dup")
        # The client turns the answer `Duplicate` into success.
        for _ in range(3):
            ann.official.send_to_group("dup", "once", "text", ack_id=700)
        ann.official.send_to_group("dup", "marker", "text")
        self.assertEqual([bob.group.take().data, bob.group.take().data], ["once", "marker"])

    def test_s1_18_the_state_of_a_connection_is_kept(self):
        ann, bob = self.pair("state")
        self.assertEqual([ann.ask("count").data for _ in range(3)], ["1", "2", "3"])
        self.assertEqual(bob.ask("count").data, "1")

    def test_s1_22_a_failed_event_is_acked_as_failed_and_the_connection_goes_on(self):
        client = self.client(user="ann")
        with self.assertRaises(SendMessageError) as raised:
            client.official.send_event("fail", "", "text")
        self.assertEqual(raised.exception.error_detail.name, "InternalServerError")
        self.assertEqual(client.ask("no-such-event").data, "unknown event no-such-event")

    def test_s1_16_an_event_that_nobody_answers_holds_up_no_other_connection(self):
        ann, bob = self.pair("slow")
        ann.official.send_event("slow", "", "text", ack=False)
        ann.official.send_to_group("slow", "here", "text")
        self.assertEqual(bob.ask("echo", "past it").data, "past it")

    def test_s1_09_a_closed_client_is_told_why_and_the_application_hears_of_it(self):
        client = self.client(user="ann")
        client.official.send_event("kick", "", "text", ack=False)
        self.assertEqual(client.disconnected.take("the disconnect notice").message, "kicked")
        line = self.notice(client)
        self.assertEqual(line, f"disconnected {client.connection_id} ann kicked")

    def test_s1_09_a_client_that_leaves_is_noticed_exactly_once(self):
        first, second = self.client(user="eve"), self.client(user="eve")
        for client in (first, second):
            client.close()
            self.notice(client)
        again = [line for line in self.upstream.lines.values if first.connection_id in line]
        self.assertEqual(again, [])

    def notice(self, client):
        starts = f"disconnected {client.connection_id} "
        return self.upstream.line("the disconnect notice", lambda line: line.startswith(starts))

    def test_s1_16_twenty_clients_in_a_group_hear_every_message_of_each(self):
        clients = [self.client(user=f"user-{number}") for number in range(20)]
        for client in clients:
            client.official.join_group("crowd")
        rounds = range(5)

        def speak(client):
            for number in rounds:
                client.official.send_to_group("crowd", {"round": number}, "json", ack=False)

        speakers = [threading.Thread(target=speak, args=(client,)) for client in clients]
        for speaker in speakers:
            speaker.start()
        for speaker in speakers:
            speaker.join()
        expected = {(f"user-{number}", turn) for number in range(20) for turn in rounds}
        for client in clients:
            messages = [client.group.take(f"message {n} of the crowd") for n in range(len(expected))]
            heard = {(message.from_user_id, message.data["round"]) for message in messages}
            self.assertEqual(heard, expected)


class RustUpstream(Chat, Case):
    language = "rust"


class RustUpstreamOverHttp3(Chat, Case):
    language = "rust"
    url = "h3://127.0.0.1:0"


class RustUpstreamOverWebSocket(Chat, Case):
    language = "rust"
    url = "ws://127.0.0.1:0"


class PythonUpstream(Chat, Case):
    language = "python"


if __name__ == "__main__":
    unittest.main()
