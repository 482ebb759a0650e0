// `buf curl`: gRPC, gRPC-Web and reflection by a client in Go (connect-go on Go's own HTTP/2 and on quic-go), over every
// transport that it speaks. What it prints is JSON, and its exit code is the status code times 8.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { PROTOS, Server, result } from "./buf.mjs";
import { Program, ROOT, within } from "./harness.mjs";

const SERVICE = "grpc.testing.TestService";
const HEALTH = "grpc.health.v1.Health";
// Longer than any test: what waits for it waits until somebody ends it.
const NEVER_US = 2 ** 30;
// What the server says of calls that it could not end.
const STILL_OPEN = /still open/;
const SERVICES = [
  HEALTH,
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
  SERVICE,
  "pw.rpc.Benchmark",
  "pw.rpc.EchoService",
];
const METHODS = [
  ...["Check", "List", "Watch"].map((name) => `${HEALTH}/${name}`),
  "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
  ...["EmptyCall", "FullDuplexCall", "HalfDuplexCall", "StreamingInputCall", "StreamingOutputCall", "UnaryCall", "UnimplementedCall"].map((name) => `${SERVICE}/${name}`),
  "pw.rpc.Benchmark/BidirectionalEcho",
  "pw.rpc.Benchmark/UnaryEcho",
  "pw.rpc.EchoService/Echo",
];
// By their numbers, as `buf` writes them.
const CODES = [
  "ok", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied",
  "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable",
  "data_loss", "unauthenticated",
];

const zeros = (size) => Buffer.alloc(size).toString("base64");
// As JSON has it: no bytes are no field.
const answer = (size) => ({ payload: size ? { body: zeros(size) } : {} });
const sizes = (...sizes) => ({ responseParameters: sizes.map((size) => ({ size })) });
const isGrpc = (way) => !way.isWeb;
const isWeb = (way) => way.isWeb;
// `buf` may end before its last datagrams leave, and then the server cannot know.
const isOnQuic = (way) => way.http === "HTTP/3.0";
const isOnTcp = (way) => !isOnQuic(way);
// One of each kind, where many calls are made.
const KINDS = ["HTTP/2", "HTTP/3", "gRPC-Web on HTTP/1.1"];
const isOneOfAKind = (way) => KINDS.includes(way.name);

function succeeded({ code, messages, error }, expected) {
  assert.deepEqual({ code, messages, error }, { code: 0, messages: expected, error: undefined });
}

// That it ended with this status, after these messages.
function failed({ code, messages, error }, status, message, before = []) {
  assert.deepEqual({ code, messages, error }, {
    code: status * 8,
    messages: before,
    error: { code: CODES[status], message: message ?? error?.message },
  });
}

describe("buf curl", () => {
  let folder;
  let certificates;
  let server;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "headwater-buf-"));
    const maker = new Program(process.env.HEADWATER_PYTHON, ["-B", path.join(ROOT, "tests/e2e/python/certificate.py"), folder]);
    assert.equal(await within(maker.exit, "the certificates"), 0, maker.errors.join("\n"));
    certificates = maker.lines.rest;
    server = await Server.start(folder, certificates);
  });
  after(async () => {
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  // Does this on a server of its own, and ends that. No handler may be left that it would have to wait for.
  async function leavesNothing(check) {
    const own = await Server.start(folder, certificates);
    await own.everywhere(check, isOnTcp);
    assert.doesNotMatch(await own.stop(), STILL_OPEN);
  }

  test("S4-38 reflection lists services and methods, in both of its versions", () => server.everywhere(async (way) => {
    for (const version of ["grpc-v1", "grpc-v1alpha"]) {
      const list = (what) => result(way.run(["--reflect-protocol", version, what, way.base]));
      assert.deepEqual((await list("--list-services")).lines, SERVICES, version);
      assert.deepEqual((await list("--list-methods")).lines, METHODS, version);
    }
  }, isGrpc));

  test("S4-20, S4-38, S4-80, U-03 all kinds of call, by what reflection tells", () => server.everywhere(async (way) => {
    const unary = await way.call(`${SERVICE}/UnaryCall`, [{ responseSize: 7 }], "-v");
    succeeded(unary, [answer(7)]);
    assert.equal(unary.http, way.http);
    assert.equal(unary.headers["content-type"], "application/grpc");
    assert.equal(unary.trailers["grpc-status"], "0");
    const streaming = await way.call(`${SERVICE}/StreamingOutputCall`, [sizes(3, 0, 1)]);
    succeeded(streaming, [answer(3), answer(0), answer(1)]);
    const bodies = [5, 0, 3].map((size) => ({ payload: { body: zeros(size) } }));
    succeeded(await way.call(`${SERVICE}/StreamingInputCall`, bodies), [{ aggregatedPayloadSize: 8 }]);
    const both = await way.call(`${SERVICE}/FullDuplexCall`, [sizes(3, 2), sizes(), sizes(1)]);
    succeeded(both, [answer(3), answer(2), answer(1)]);
    // Nothing is sent, and nothing comes.
    succeeded(await way.call(`${SERVICE}/HalfDuplexCall`, []), []);
    succeeded(await way.call("pw.rpc.EchoService/Echo", [{ msg: "well ☺" }]), [{ msg: "well ☺" }]);
  }, isGrpc));

  test("S4-20, S4-86, U-03 gRPC-Web has the kinds of call with one request", () => server.everywhere(async (way) => {
    const unary = await way.call(`${SERVICE}/UnaryCall`, [{ responseSize: 7 }], "-v");
    succeeded(unary, [answer(7)]);
    assert.equal(unary.http, way.http);
    assert.equal(unary.headers["content-type"], "application/grpc-web+proto");
    const streaming = await way.call(`${SERVICE}/StreamingOutputCall`, [sizes(3, 0, 1)]);
    succeeded(streaming, [answer(3), answer(0), answer(1)]);
    const refused = await way.call(`${SERVICE}/StreamingInputCall`, [{}]);
    failed(refused, 12, "gRPC-Web has no streams of requests");
  }, isWeb));

  test("S4-20, U-03 each request of a stream is answered before the next", () => server.everywhere(async (way) => {
    const program = way.start(`${SERVICE}/FullDuplexCall`, "@-", [], "pipe");
    for (const size of [1, 2, 3]) {
      program.child.stdin.write(JSON.stringify(sizes(size)));
      await program.line(`answer ${size}`, (line) => line.includes(zeros(size)));
    }
    program.child.stdin.end();
    assert.equal((await result(program)).code, 0);
  }, isGrpc));

  test("S4-10, U-03 metadata comes back with the headers and the trailers", () => server.everywhere(async (way) => {
    const [initial, trailing] = ["x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"];
    const metadata = ["-H", `${initial}: a value`, "-H", `${trailing}: q6ur`];
    for (const method of ["UnaryCall", "StreamingOutputCall"]) {
      const ended = await way.call(`${SERVICE}/${method}`, [{}], "-v", ...metadata);
      assert.equal(ended.code, 0, method);
      assert.equal(ended.headers[initial], "a value", method);
      // Those of gRPC-Web are in the body, which is not shown.
      if (!way.isWeb) assert.equal(ended.trailers[trailing], "q6ur", method);
    }
  }));

  test("S4-36, U-03 every status code and its message", () => server.everywhere(async (way) => {
    for (const code of CODES.keys()) {
      const message = `code ${code}\t\r\n☺ 😈 %`;
      const ended = await way.call(`${SERVICE}/UnaryCall`, [{ responseStatus: { code, message } }]);
      if (code === 0) succeeded(ended, [answer(0)]);
      else failed(ended, code, message);
    }
  }, isOneOfAKind));

  test("S4-36, U-03 a status after an answer", () => server.everywhere(async (way) => {
    const ended = await way.call(`${SERVICE}/StreamingOutputCall`, [sizes(1, -1)]);
    failed(ended, 3, "a size below zero", [answer(1)]);
  }));

  test("S4-35, U-03 a rich detail of a status", () => server.everywhere(async (way) => {
    const request = { responseStatus: { code: 9, message: "no" }, payload: { body: "q6ur" } };
    // The request's payload: field 2, three bytes.
    const value = Buffer.from("1203ababab", "hex").toString("base64").replace(/=+$/, "");
    for (const method of ["UnaryCall", "StreamingOutputCall"]) {
      const { code, error } = await way.call(`${SERVICE}/${method}`, [request]);
      assert.equal(code, 9 * 8, method);
      const details = [{ type: "grpc.testing.Payload", value }];
      assert.deepEqual(error, { code: "failed_precondition", message: "no", details }, method);
    }
  }));

  test("S4-24, U-03 what is not there is unimplemented", () => server.everywhere(async (way) => {
    for (const method of [`${SERVICE}/UnimplementedCall`, "grpc.testing.UnimplementedService/UnimplementedCall"]) {
      // Of a service that is not there, reflection cannot tell.
      failed(await way.call(method, [{}], "--schema", PROTOS), 12, `there is no method /${method}`);
    }
  }));

  test("S4-42, U-03 a deadline goes with the call and ends it, at both ends", async () => {
    const request = { responseParameters: [{ size: 1 }, { size: 1, intervalUs: NEVER_US }] };
    const check = async (way) => {
      const ended = await way.call(`${SERVICE}/StreamingOutputCall`, [request], "-v", "--timeout", "3s");
      failed(ended, 4, undefined, [answer(1)]);
      assert.match(ended.request["grpc-timeout"], /^[12]?\d{1,6}u$/, "what is left of 3 s");
    };
    await Promise.all([server.everywhere(check, isOnQuic), leavesNothing(check)]);
  });

  test("S4-67, U-03 gzip, of the messages that ask for it", () => server.everywhere(async (way) => {
    const size = 100_000;
    const responseParameters = [{ size, compressed: { value: true } }, { size, compressed: { value: false } }];
    const ended = await way.call(`${SERVICE}/StreamingOutputCall`, [{ responseParameters }], "-v");
    succeeded(ended, [answer(size), answer(size)]);
    assert.equal(ended.request["grpc-accept-encoding"], "gzip");
    assert.equal(ended.headers["grpc-encoding"], "gzip");
    assert.ok(ended.bytes > size && ended.bytes < size + 2_000, `one of them is compressed: ${ended.bytes} bytes`);
  }));

  test("S4-68, U-03 a client proves itself with a certificate, and without one is let in nowhere", async () => {
    const [authority, , cert, key] = certificates;
    const own = await Server.start(folder, certificates, ["--client-ca", authority]);
    await own.everywhere(async (way) => {
      const call = (...args) => way.call(`${SERVICE}/UnaryCall`, [{ responseSize: 1 }], "--schema", PROTOS, ...args);
      succeeded(await call("--cert", cert, "--key", key), [answer(1)]);
      const { code, messages, error } = await call();
      assert.deepEqual(messages, []);
      // With TLS 1.3 the client has sent its request by then, so on TCP a reset may overtake what the server says.
      if (isOnQuic(way)) assert.match(error.message, /peer sent no certificates/);
      else assert.ok([1 * 8, 14 * 8].includes(code), `${code}: ${error.message}`);
    }, (way) => way.isSecured);
    await own.stop();
  });

  test("S4-43, U-03 large messages pass, and one over the limit is refused while it is still sent", async () => {
    const write = async (name, request) => {
      const file = path.join(folder, name);
      await writeFile(file, JSON.stringify(request));
      return `@${file}`;
    };
    const size = 3 << 20;
    const large = await write("large.json", { responseSize: size, payload: { body: zeros(size) } });
    const over = await write("over.json", { payload: { body: zeros(8 << 20) } });
    await server.everywhere(async (way) => {
      succeeded(await way.call(`${SERVICE}/UnaryCall`, large), [answer(size)]);
      const methods = way.isWeb ? ["UnaryCall", "StreamingOutputCall"] : ["UnaryCall", "StreamingInputCall", "FullDuplexCall"];
      for (const method of methods) {
        failed(await way.call(`${SERVICE}/${method}`, over), 8, "a message is over the limit");
      }
    });
  });

  test("S4-38, U-03 health is told, and that there is no such service", () => server.everywhere(async (way) => {
    const check = (service) => way.call(`${HEALTH}/Check`, [{ service }]);
    for (const service of ["", SERVICE]) succeeded(await check(service), [{ status: "SERVING" }]);
    failed(await check("no.Service"), 5, "there is no service of this name");
  }, isGrpc));

  test("S4-28, U-03 a client that is interrupted cancels its call, and the handler ends", () => leavesNothing(async (way) => {
    const request = { responseParameters: [{ size: 1 }, { size: 1, intervalUs: NEVER_US }] };
    const program = way.start(`${SERVICE}/StreamingOutputCall`, [request]);
    await program.line("the first answer", (line) => line.includes(zeros(1)));
    program.child.kill("SIGINT");
    const { code, error } = await result(program);
    assert.deepEqual([code, error.code], [8, "canceled"]);
  }));

  test("S4-26, S4-38, U-03 a watch hears that the server stops", async () => {
    const own = await Server.start(folder, certificates);
    const watches = [];
    await own.everywhere(async (way) => {
      const program = way.start(`${HEALTH}/Watch`, [{ service: SERVICE }]);
      await program.line("the state", (line) => line.includes('"SERVING"'));
      watches.push([way, program]);
    }, isGrpc);
    await own.stop();
    for (const [way, program] of watches) {
      const { code, error } = await result(program);
      assert.deepEqual([code, error], [14 * 8, { code: "unavailable", message: "the server is stopping" }], way.name);
    }
  });
});
