"""gRPC's own services on a Headwater server, asked by the clients of grpcio's own packages."""

import unittest
from urllib.parse import urlsplit

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from harness import PATIENCE_SECONDS, Program, place

SERVICE = "grpc.testing.TestService"
SERVICES = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    SERVICE,
    "pw.rpc.Benchmark",
    "pw.rpc.EchoService",
}


class Services(unittest.TestCase):
    def setUp(self) -> None:
        self.server = Program(place("HEADWATER_INTEROP"), "--listen", "http://127.0.0.1:0")
        self.addCleanup(self.server.child.kill)
        listening = self.server.line("where it listens", lambda line: line.startswith("listening "))
        self.server.line("ready", lambda line: line == "ready")
        self.channel = grpc.insecure_channel(urlsplit(listening.split()[1]).netloc)
        self.addCleanup(self.channel.close)

    def test_s4_38_a_call_is_made_by_what_reflection_tells_alone(self):
        database = ProtoReflectionDescriptorDatabase(self.channel)
        self.assertEqual(set(database.get_services()), SERVICES)
        pool = DescriptorPool(database)
        self.assertEqual(self.call(pool, SERVICE, "UnaryCall", response_size=7).payload.body, bytes(7))
        self.assertEqual(self.call(pool, "pw.rpc.EchoService", "Echo", msg="well").msg, "well")

    def call(self, pool: DescriptorPool, service: str, name: str, **fields):
        method = pool.FindServiceByName(service).FindMethodByName(name)
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = self.channel.unary_unary(
            f"/{service}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return call(request(**fields), timeout=PATIENCE_SECONDS)

    def test_s4_38_reflection_knows_every_listed_service(self):
        database = ProtoReflectionDescriptorDatabase(self.channel)
        pool = DescriptorPool(database)
        for name in database.get_services():
            self.assertEqual(pool.FindServiceByName(name).full_name, name)
        with self.assertRaises(KeyError):
            pool.FindServiceByName("no.Service")

    def test_s4_38_the_official_client_asks_for_health(self):
        stub = health_pb2_grpc.HealthStub(self.channel)
        for service in ("", SERVICE):
            request = health_pb2.HealthCheckRequest(service=service)
            answer = stub.Check(request, timeout=PATIENCE_SECONDS)
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)
        with self.assertRaises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="no.Service"), timeout=PATIENCE_SECONDS)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_s4_38_a_watch_hears_that_the_server_stops_and_does_not_hold_it_up(self):
        stub = health_pb2_grpc.HealthStub(self.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=PATIENCE_SECONDS)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVING)
        self.assertEqual(self.server.stop(), 0)
        with self.assertRaises(grpc.RpcError) as caught:
            # That it does not serve any more may be told before the end.
            list(watch)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)


if __name__ == "__main__":
    unittest.main()
