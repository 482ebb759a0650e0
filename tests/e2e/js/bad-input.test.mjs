// What a hostile or broken client sends, on raw sockets. Each gets the stated answer, and a good client on the same
// service goes on undisturbed: it talks to the application after every single case.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import net from "node:net";
import { after, afterEach, before, describe, test } from "node:test";
import { Client, Inbox, KEY, Service, WebSocket, startUpstream, within } from "./harness.mjs";

const JSON_PROTOCOL = "json.webpubsub.azure.v1";
const MESSAGE_BYTES_MAX = 1024 * 1024;
const text = (value) => (socket) => socket.send(typeof value === "string" ? value : JSON.stringify(value));
const raw = (...bytes) => (socket) => socket._socket.write(Buffer.from(bytes));

// What is sent, and the close code that answers it.
const FATAL = [
  ["malformed JSON", text('{"type":'), 1007],
  ["JSON that is no object", text("[1]"), 1007],
  ["an unknown type", text({ type: "obey" }), 1007],
  ["a missing type", text({ group: "g" }), 1007],
  ["a join without a group", text({ type: "joinGroup", ackId: 1 }), 1007],
  ["a group that is no string", text({ type: "joinGroup", group: 7 }), 1007],
  ["an event without data", text({ type: "event", event: "echo" }), 1007],
  ["an unknown dataType", text({ type: "event", event: "echo", dataType: "xml", data: "x" }), 1007],
  ["binary data that is no base64", text({ type: "event", event: "echo", dataType: "binary", data: "!" }), 1007],
  ["an ackId that is no integer", text({ type: "joinGroup", group: "g", ackId: 1.5 }), 1007],
  ["JSON nested 100,000 deep", text(`{"type":"event","event":"echo","data":${"[".repeat(1e5)}${"]".repeat(1e5)}}`), 1007],
  ["text that is not UTF-8", (socket) => socket.send(Buffer.from([0x22, 0xff, 0x22]), { binary: false }), 1007],
  ["a binary frame", (socket) => socket.send(Buffer.from([1, 2, 3])), 1003],
  ["an oversized message", text({ type: "event", event: "echo", data: "x".repeat(MESSAGE_BYTES_MAX) }), 1009],
  ["a length of 2^63 - 1", raw(0x81, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0), 1009],
  ["an unmasked frame", (socket) => socket.send('{"type":"ping"}', { mask: false }), 1002],
  ["a reserved opcode", raw(0x83, 0x80, 0, 0, 0, 0), 1002],
  ["a reserved bit", raw(0xc1, 0x80, 0, 0, 0, 0), 1002],
  ["a continuation of nothing", raw(0x80, 0x80, 0, 0, 0, 0), 1002],
  ["a fragmented ping", raw(0x09, 0x80, 0, 0, 0, 0), 1002],
];

// A JSON Web Token made by hand, so that it can be made wrong.
function token(claims, { key = KEY, header = { alg: "HS256", typ: "JWT" } } = {}) {
  const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const signature = header.alg === "none" ? "" : createHmac("sha256", key).update(signed).digest("base64url");
  return `${signed}.${signature}`;
}

describe("bad input", () => {
  let service;
  let upstream;
  let good;
  let dawdler;
  before(async () => {
    service = await Service.start();
    upstream = await startUpstream("rust", service);
    good = await Client.connect(service, { user: "good", query: { lobby: "1" } });
    dawdler = dawdle();
  });
  after(async () => {
    good?.stop();
    await upstream?.stop();
    await service?.stop();
  });
  afterEach(async () => {
    const { reply } = await good.ask("echo", "still here");
    assert.equal(reply.data, "still here", "the good client goes on");
  });

  // Half a handshake, and then silence.
  function dawdle() {
    const { hostname, port } = new URL(service.clients);
    const socket = net.connect(Number(port), hostname, () => socket.write("GET /client/hubs/chat HTTP/1.1\r\nHost: x\r\n"));
    socket.on("error", () => {}).resume();
    return new Promise((done) => socket.on("close", done));
  }

  // A raw client past its handshake, with everything it hears: parsed messages, then { close: code }.
  async function open(protocols = JSON_PROTOCOL) {
    const socket = new WebSocket(await service.clientUrl({ user: "bad" }), protocols);
    const heard = new Inbox();
    socket.on("message", (data) => heard.put(JSON.parse(data.toString())));
    socket.on("close", (code) => heard.put({ close: code }));
    socket.on("error", () => {});
    const connected = await heard.take("the connected message");
    assert.deepEqual([connected.type, connected.event], ["system", "connected"]);
    return { socket, heard };
  }

  // The status of a refused handshake; 101 for one that was let in.
  function handshake(url, protocols = JSON_PROTOCOL) {
    const socket = new WebSocket(url, protocols);
    const status = new Promise((done, failed) => {
      socket.on("unexpected-response", (_, response) => done(response.statusCode));
      socket.on("open", () => done(101));
      socket.on("error", failed);
    });
    return within(status, "the answer to the handshake").finally(() => socket.terminate());
  }

  for (const [name, send, code] of FATAL) {
    test(`${name} ends the connection with ${code}`, async (t) => {
      const { socket, heard } = await open();
      t.after(() => socket.terminate());
      send(socket);
      const closed = await heard.take("the close", (event) => "close" in event);
      assert.equal(closed.close, code);
      const notice = heard.rest.find((event) => event.event === "disconnected");
      assert.ok(notice?.message, "it is told why before the close");
    });
  }

  const ANSWERED = [
    ["a group name of 1025 characters", { type: "joinGroup", group: "g".repeat(1025) }],
    ["a group name of white space", { type: "joinGroup", group: "  " }],
    ["an event name that is none", { type: "event", event: "not a name", dataType: "text", data: "" }],
    ["a request of a later protocol", { type: "invoke", invocationId: "1", target: "event", event: "echo", data: 1 }],
  ];
  for (const [name, request] of ANSWERED) {
    test(`${name} is answered, and the connection goes on`, async (t) => {
      const { socket, heard } = await open();
      t.after(() => socket.terminate());
      socket.send(JSON.stringify({ ...request, ackId: 5 }));
      socket.send('{"type":"ping"}');
      const answer = await heard.take("the ack");
      assert.deepEqual([answer.type, answer.ackId, answer.success, answer.error?.name], ["ack", 5, false, "BadRequest"]);
      assert.ok(answer.error.message);
      assert.deepEqual(await heard.take("the pong"), { type: "pong" });
    });
  }

  test("unknown properties are ignored", async (t) => {
    const { socket, heard } = await open();
    t.after(() => socket.terminate());
    socket.send(JSON.stringify({ type: "joinGroup", group: "g", ackId: 6, later: { version: 2 } }));
    assert.deepEqual(await heard.take(), { type: "ack", ackId: 6, success: true });
  });

  test("a missing permission is an error ack, not the end", async (t) => {
    const url = await service.clientUrl({ hub: "quiet", user: "ann", roles: ["webpubsub.sendToGroup.mine"] });
    const socket = new WebSocket(url, JSON_PROTOCOL);
    t.after(() => socket.terminate());
    const heard = new Inbox();
    socket.on("message", (data) => heard.put(JSON.parse(data)));
    await heard.take("the connected message");
    socket.send(JSON.stringify({ type: "joinGroup", group: "mine", ackId: 1 }));
    socket.send(JSON.stringify({ type: "sendToGroup", group: "other", dataType: "text", data: "x", ackId: 2 }));
    socket.send(JSON.stringify({ type: "sendToGroup", group: "mine", dataType: "text", data: "x", ackId: 3 }));
    const outcomes = [await heard.take(), await heard.take(), await heard.take()];
    assert.deepEqual(
      outcomes.map(({ ackId, success, error }) => [ackId, success, error?.name]),
      [[1, false, "Forbidden"], [2, false, "Forbidden"], [3, true, undefined]],
    );
  });

  const now = () => Math.floor(Date.now() / 1000);
  const aud = (hub = "chat") => `${service.clients}/client/hubs/${hub}`;
  const TOKENS = [
    ["no token", () => undefined, 401],
    ["a token that is none", () => "a.b.c", 401],
    ["an expired token", () => token({ aud: aud(), exp: now() - 120 }), 401],
    ["a token that expired within the skew of 60 s", () => token({ aud: aud(), exp: now() - 20 }), 101],
    ["a token without exp", () => token({ aud: aud() }), 401],
    ["a token that is not valid yet", () => token({ aud: aud(), exp: now() + 600, nbf: now() + 300 }), 401],
    ["a token of another key", () => token({ aud: aud(), exp: now() + 60 }, { key: `${KEY}x` }), 401],
    ["a token of another hub", () => token({ aud: aud("other"), exp: now() + 60 }), 401],
    ["a token for a path that only begins alike", () => token({ aud: `${aud()}x`, exp: now() + 60 }), 401],
    ["an upstream's token", () => token({ aud: `${service.clients}/upstream`, exp: now() + 60 }), 401],
    ["alg none", () => token({ aud: aud(), exp: now() + 60 }, { header: { alg: "none" } }), 401],
    ["another alg", () => token({ aud: aud(), exp: now() + 60 }, { header: { alg: "HS512", typ: "JWT" } }), 401],
    ["a token of more than 16 KiB", () => token({ aud: aud(), exp: now() + 60, pad: "x".repeat(15_000) }), 431],
  ];
  for (const [name, make, status] of TOKENS) {
    test(`${name} is answered by ${status}`, async () => {
      const url = new URL(`${service.clients.replace("http", "ws")}/client/hubs/chat`);
      const made = make();
      if (made) url.searchParams.set("access_token", made);
      assert.equal(await handshake(url), status);
    });
  }

  test("a plain GET of the client endpoint is told to upgrade", async () => {
    assert.equal((await fetch(`${service.clients}/client/hubs/chat`)).status, 426);
  });

  test("an unknown path is a 404", async () => {
    assert.equal((await fetch(`${service.clients}/no/such/path`)).status, 404);
  });

  test("a handshake that dawdles is dropped", async () => {
    await within(dawdler, "the service to drop a half handshake");
  });
});
