// zrpc's example, called by a WebSocket of Node and nothing of Headwater.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Inbox, Program, WebSocket, within } from "./harness.mjs";

const GOLDEN = Buffer.from("040000006563686f776f726c64", "hex");

// A call's frame, as zrpc's own sample for Node packs it.
function frame(method, blob) {
  const name = Buffer.from(method);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(name.length);
  return Buffer.concat([length, name, Buffer.from(blob)]);
}

// A frame with a call id around it.
function withId(kind, call, rest) {
  const head = Buffer.alloc(5);
  head.writeUInt8(kind);
  head.writeUInt32LE(call, 1);
  return Buffer.concat([head, rest]);
}

async function connect(server, protocols = []) {
  const socket = new WebSocket(server.url, protocols);
  socket.inbox = new Inbox();
  socket.on("message", (data, isBinary) => socket.inbox.put(isBinary ? data : data.toString()));
  socket.closed = new Promise((done) => socket.on("close", (code, reason) => done([code, reason.toString()])));
  await within(new Promise((done, failed) => socket.on("open", done).on("error", failed)), "the handshake");
  assert.equal(socket.protocol, protocols[0] ?? "");
  return socket;
}

describe("zrpc from Node", () => {
  let server;
  before(async () => {
    server = new Program(process.env.HEADWATER_ECHO, ["--listen", "127.0.0.1:0"]);
    server.url = (await server.line("ready", (line) => line.startsWith("ready "))).split(" ")[1];
  });
  after(() => server?.stop("SIGINT"));

  test("s2_01 s2_07 the golden bytes are echoed ten times until a close frame", async () => {
    assert.deepEqual(frame("echo", "world"), GOLDEN);
    const sockets = await Promise.all([connect(server), connect(server, ["zrpc"])]);
    for (const socket of sockets) socket.send(GOLDEN);
    for (const socket of sockets) {
      assert.deepEqual(await within(socket.closed, "the end"), [1000, ""]);
      assert.deepEqual(socket.inbox.rest.map(String), Array(10).fill("world"));
      assert.ok(socket.inbox.rest.every(Buffer.isBuffer), "bytes come as binary messages");
    }
  });

  test("s2_07 s2_20 a failed call ends with a typed error", async () => {
    const socket = await connect(server);
    socket.send(frame("typo", ""));
    assert.equal(await socket.inbox.take(), "ERROR 12 UNIMPLEMENTED there is no method /zrpc/typo");
    assert.deepEqual(await within(socket.closed, "the end"), [4012, "there is no method /zrpc/typo"]);
  });

  test("s2_07 s2_21 calls with ids share a socket", async () => {
    const socket = await connect(server, ["zrpc.v2"]);
    for (const [call, blob] of [[1, "one"], [2, "two"]]) socket.send(withId(1, call, frame("echo", blob)));
    const blobs = { 1: [], 2: [] };
    for (let open = 2; open > 0; ) {
      const message = await socket.inbox.take("a frame");
      const [kind, call] = [message.readUInt8(), message.readUInt32LE(1)];
      if (kind === 3) blobs[call].push(message.subarray(5).toString());
      if (kind !== 9) continue;
      assert.equal(message.readUInt8(5), 0, "the status is OK");
      open -= 1;
    }
    assert.deepEqual(blobs, { 1: Array(10).fill("one"), 2: Array(10).fill("two") });
    socket.close();
    await within(socket.closed, "the end");
  });
});
