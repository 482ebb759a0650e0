// gRPC-Web, by the clients that pages use: Connect's and gRPC's own. And a real browser, which asks before it calls.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import http2 from "node:http2";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { KEY, Program, ROOT, Service, startBrowser, within } from "./harness.mjs";

const load = createRequire(path.join(process.env.HEADWATER_NODE, "package.json"));
const { Code, ConnectError, createClient } = load("@connectrpc/connect");
const { createGrpcWebTransport } = load("@connectrpc/connect-web");
const { createFileRegistry, fromBinary } = load("@bufbuild/protobuf");
const { FileDescriptorSetSchema } = load("@bufbuild/protobuf/wkt");
const protobuf = load("protobufjs");
const descriptor = load("protobufjs/ext/descriptor");
// What gRPC's own client calls a browser's.
globalThis.XMLHttpRequest = load("xhr2").XMLHttpRequest;
const { GrpcWebClientBase, MethodDescriptor, MethodType } = load("grpc-web");

const SERVICE = "grpc.testing.TestService";
const ECHO_INITIAL = "x-grpc-test-echo-initial";
const ECHO_TRAILING = "x-grpc-test-echo-trailing-bin";
const PROTO = "application/grpc-web+proto";
// No fields, behind its length.
const EMPTY = Buffer.alloc(5);

// The messages and the service, from the repository's `.proto` files.
const root = new protobuf.Root();
root.resolvePath = (_, file) => path.join(ROOT, "examples/proto", file);
root.loadSync("grpc/testing/test.proto", { keepCase: true }).resolveAll();
const set = root.toDescriptor("proto3");
// protobufjs names types as they stand in the file; a descriptor has them whole.
const whole = (name) => name && !name.startsWith(".") ? `.grpc.testing.${name}` : name;
for (const { messageType, service } of set.file) {
  for (const field of messageType.flatMap((message) => message.field)) field.typeName = whole(field.typeName);
  for (const method of service.flatMap((one) => one.method)) {
    Object.assign(method, { inputType: whole(method.inputType), outputType: whole(method.outputType) });
  }
}
const bytes = descriptor.FileDescriptorSet.encode(set).finish();
const TestService = createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes)).getService(SERVICE);

// Trailers as the body ends with them: a frame of its own (`PROTOCOL-WEB.md`), whose first byte has its highest bit.
function trailersIn(body) {
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    if (body[at] === 0x80) return Object.fromEntries(body.toString("latin1", at + 5, end).trim().split("\r\n").map((line) => line.split(/: ?(.*)/s)));
    at = end;
  }
  return undefined;
}

describe("gRPC-Web", () => {
  let server;
  let url;
  let client;
  before(async () => {
    server = new Program(process.env.HEADWATER_INTEROP, ["--listen", "grpc-web+http://127.0.0.1:0"]);
    const line = await server.line("an address", (line) => line.startsWith("listening "));
    url = line.replace("listening grpc-web+", "");
    await server.line("ready", (line) => line === "ready");
    client = createClient(TestService, createGrpcWebTransport({ baseUrl: url }));
  });
  after(() => server.stop());

  // A call by hand, with fetch.
  async function raw(method, headers, body = EMPTY) {
    const answer = await within(fetch(`${url}/${SERVICE}/${method}`, { method: "POST", headers, body }), method);
    const bytes = Buffer.from(await within(answer.arrayBuffer(), "the body"));
    return { answer, bytes, status: answer.headers.get("grpc-status") };
  }

  async function fails(call, code) {
    const error = await within(call.then(() => assert.fail("it did not fail"), ConnectError.from), "the failure");
    assert.equal(error.code, code, error.message);
    return error;
  }

  test("S4-86 Connect's client calls and is answered, with headers and trailers", async () => {
    const seen = {};
    const value = Buffer.from([0xab, 0xab, 0xab]);
    const answer = await within(client.unaryCall({ response_size: 314159, responseSize: 314159, payload: { body: Buffer.alloc(271828) } }, {
      headers: { [ECHO_INITIAL]: "test_initial_metadata_value", [ECHO_TRAILING]: value.toString("base64") },
      onHeader: (headers) => (seen.initial = headers.get(ECHO_INITIAL)),
      onTrailer: (trailers) => (seen.trailing = trailers.get(ECHO_TRAILING)),
    }), "the answer");
    assert.equal(answer.payload.body.length, 314159);
    assert.equal(seen.initial, "test_initial_metadata_value");
    assert.deepEqual(Buffer.from(seen.trailing, "base64"), value);
  });

  test("S4-86 Connect's client takes a stream of answers", async () => {
    const sizes = [31415, 9, 2653, 58979];
    const got = [];
    const stream = client.streamingOutputCall({ responseParameters: sizes.map((size) => ({ size })) });
    for await (const { payload } of stream) got.push(payload.body.length);
    assert.deepEqual(got, sizes);
  });

  test("S4-86 a status reaches Connect's client, before and after messages", async () => {
    const message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
    const error = await fails(client.unaryCall({ responseStatus: { code: 2, message } }), Code.Unknown);
    assert.equal(error.rawMessage, message);
    await fails(client.unimplementedCall({}), Code.Unimplemented);
    // The first request is answered, and the second has no payload that there is.
    const stream = client.streamingOutputCall({ responseParameters: [{ size: 1 }, { size: -1 }] });
    const got = [];
    await fails((async () => {
      for await (const { payload } of stream) got.push(payload.body.length);
    })(), Code.InvalidArgument);
    assert.deepEqual(got, [1]);
  });

  test("S4-86 a deadline ends the call, for Connect's client and on the wire", async () => {
    const request = { responseParameters: [{ size: 1, intervalUs: 60_000_000 }] };
    await fails((async () => {
      for await (const _ of client.streamingOutputCall(request, { timeoutMs: 200 }));
    })(), Code.DeadlineExceeded);
    // One answer in a minute: field 2 with size 1 and interval.
    const wanted = Buffer.from("12070801108087a70e", "hex");
    const body = Buffer.concat([Buffer.from([0, 0, 0, 0, wanted.length]), wanted]);
    const { bytes, status } = await raw("StreamingOutputCall", { "content-type": PROTO, "grpc-timeout": "200m" }, body);
    assert.equal(status ?? trailersIn(bytes)["grpc-status"], "4", "the server says so by itself");
  });

  test("S4-86 streams of requests are refused, and what is no gRPC-Web too", async () => {
    for (const method of ["StreamingInputCall", "FullDuplexCall"]) {
      assert.equal((await raw(method, { "content-type": PROTO })).status, "12", method);
    }
    for (const kind of ["application/grpc", "application/json"]) {
      const { answer } = await raw("EmptyCall", { "content-type": kind });
      assert.ok(answer.status >= 400, `${kind}: ${answer.status}`);
    }
    const answer = await fetch(`${url}/${SERVICE}/EmptyCall`, { headers: { "content-type": PROTO } });
    assert.equal(answer.status, 405);
  });

  test("S4-86 gRPC's own client calls in binary and in base64", async () => {
    const lookup = (name) => root.lookupType(`grpc.testing.${name}`);
    const method = (name, type, request, response) => new MethodDescriptor(
      `/${SERVICE}/${name}`, type, Object, Object,
      (message) => lookup(request).encode(lookup(request).fromObject(message)).finish(),
      (bytes) => lookup(response).decode(bytes),
    );
    const unary = method("UnaryCall", MethodType.UNARY, "SimpleRequest", "SimpleResponse");
    const streaming = method("StreamingOutputCall", MethodType.SERVER_STREAMING, "StreamingOutputCallRequest", "StreamingOutputCallResponse");
    for (const format of ["binary", "text"]) {
      const official = new GrpcWebClientBase({ format });
      const call = (message) => within(official.unaryCall(`${url}/${SERVICE}/UnaryCall`, message, {}, unary), `${format}: the answer`);
      const answer = await call({ response_size: 1000, payload: { body: Buffer.alloc(7) } });
      assert.equal(answer.payload.body.length, 1000, format);
      await assert.rejects(call({ response_status: { code: 9, message: "no" } }), { code: 9, message: "no" }, format);
    }
    const official = new GrpcWebClientBase({ format: "text" });
    const stream = official.serverStreaming(`${url}/${SERVICE}/StreamingOutputCall`, { response_parameters: [{ size: 5 }, { size: 0 }, { size: 3 }] }, {}, streaming);
    const got = [];
    stream.on("data", (message) => got.push(message.payload.body.length));
    await within(new Promise((done, failed) => stream.on("end", done).on("error", failed)), "the end");
    assert.deepEqual(got, [5, 0, 3]);
  });

  test("S4-86 over HTTP/2 the same port takes gRPC-Web and gRPC", async (t) => {
    const session = http2.connect(url);
    t.after(() => session.close());
    const call = (kind) => within(new Promise((done, failed) => {
      const stream = session.request({ ":method": "POST", ":path": `/${SERVICE}/EmptyCall`, "content-type": kind, te: "trailers" });
      const seen = { chunks: [] };
      stream.on("response", (headers) => (seen.kind = headers["content-type"]));
      stream.on("trailers", (trailers) => (seen.trailers = trailers));
      stream.on("data", (chunk) => seen.chunks.push(chunk)).on("error", failed);
      stream.on("end", () => done({ ...seen, body: Buffer.concat(seen.chunks) }));
      stream.end(EMPTY);
    }), kind);
    const web = await call(PROTO);
    assert.match(web.kind, /^application\/grpc-web/);
    assert.equal(trailersIn(web.body)["grpc-status"], "0");
    assert.equal(web.trailers, undefined, "they are in the body");
    const grpc = await call("application/grpc");
    assert.deepEqual(grpc.body, EMPTY);
    assert.equal(grpc.trailers["grpc-status"], "0");
  });
});

describe("gRPC-Web from a page", () => {
  // An empty page, which is an origin.
  async function origin(t) {
    const pages = createServer((_, answer) => answer.setHeader("content-type", "text/html").end("<!doctype html>"));
    await new Promise((done) => pages.listen(0, "127.0.0.1", done));
    t.after(() => pages.close());
    return `http://127.0.0.1:${pages.address().port}`;
  }

  test("S4-86 a browser calls from the origins that are allowed, and from no other", async (t) => {
    const [browser, close] = await startBrowser();
    t.after(close);
    const [allowed, other] = [await origin(t), await origin(t)];
    // Asks without a token that is one: what the service says, or what the browser does.
    const ask = async (from, service) => {
      const page = await browser.newPage();
      await page.goto(from);
      const to = `${service.upstream.replace("grpc-web+", "")}/headwater.v1.Management/UserExists`;
      return page.evaluate(async ([to, kind]) => {
        const headers = { "content-type": kind, authorization: "Bearer none", "x-grpc-web": "1" };
        try {
          const answer = await fetch(to, { method: "POST", headers, body: new Uint8Array(5) });
          return `status ${answer.headers.get("grpc-status")}`;
        } catch (error) {
          return error.message;
        }
      }, [to, PROTO]);
    };
    const service = (...args) => Service.start("serve", ["--access-key", KEY, ...args], "grpc-web+http://127.0.0.1:0");
    const some = await service("--web-origin", allowed);
    t.after(() => some.stop());
    assert.equal(await ask(allowed, some), "status 16", "it is let through, and has no token");
    assert.equal(await ask(other, some), "Failed to fetch");
    const none = await service();
    t.after(() => none.stop());
    assert.equal(await ask(allowed, none), "Failed to fetch", "by default nobody is");
  });
});
