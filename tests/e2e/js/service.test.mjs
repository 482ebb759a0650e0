// The `headwater` command itself: what it prints, what it does without an upstream, and how it ends.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { Client, Inbox, KEY, PATIENCE_MS, Program, Service, WebPubSubClient, WebPubSubJsonProtocol, WebSocket, startUpstream, within } from "./harness.mjs";

const run = promisify(execFile);
// A lost upstream may come back for so long before its events end (30 s), and then some.
const LOST_MS = 30_000 + PATIENCE_MS;

async function serving(t) {
  const service = await Service.start();
  t.after(() => service.stop());
  return service;
}

function errorName(promise) {
  return within(promise, "the error ack", LOST_MS).then(
    () => assert.fail("it was acked as done"),
    (error) => error.errorDetail?.name ?? error.message,
  );
}

describe("headwater serve", () => {
  test("prints the connection string, an example client URL, and then ready with the real addresses", async (t) => {
    const service = await serving(t);
    assert.equal(service.connectionString, `Endpoint=${service.clients};AccessKey=${KEY};Version=1.0;`);
    assert.match(service.clients, /^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
    assert.match(service.upstream, /^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
    const example = service.printed.find((line) => line.includes("access_token="))?.match(/wss?:\/\/\S+/)?.[0];
    assert.ok(example, "an example client URL is printed");
    await connects(t, example);
  });

  test("keeps the key and the tokens out of the log", async (t) => {
    const service = await serving(t);
    const client = await Client.connect(service, { user: "ann" });
    client.stop();
    await service.stop();
    const leaks = service.errors.filter((line) => line.includes(KEY) || line.includes("access_token=ey"));
    assert.deepEqual(leaks, []);
  });

  test("makes a fresh random key when it is given none", async () => {
    const keys = [];
    for (let round = 0; round < 2; round += 1) {
      const service = await Service.start("serve", []);
      keys.push(service.connectionString.match(/AccessKey=([^;]+)/)[1]);
      await service.stop();
    }
    assert.ok(keys[0].length >= 32, "long enough for HS256");
    assert.notEqual(keys[0], keys[1]);
  });

  test("S1-28 on SIGTERM it tells its clients and exits with 0", async () => {
    const service = await Service.start();
    const upstream = await startUpstream("rust", service);
    const client = await Client.connect(service, { user: "ann" });
    const code = await service.stop("SIGTERM");
    assert.equal(code, 0, service.errors.join("\n"));
    await client.disconnected.take("the disconnect notice");
    client.stop();
    await upstream.stop("SIGKILL");
  });

  // Its application hangs with an event that it has and has not answered.
  async function hanging(t, drainSeconds) {
    const service = await Service.start("serve", ["--access-key", KEY, "--drain-timeout", drainSeconds]);
    const upstream = await startUpstream("rust", service);
    t.after(() => upstream.stop("SIGKILL"));
    const client = await Client.connect(service, { user: "ann" });
    t.after(() => client.stop());
    client.official.sendEvent("slow", "", "text").catch(() => {});
    // Acked after the service has passed the slow one on, and answered after the application has it.
    await client.official.joinGroup("g");
    const other = await Client.connect(service, { user: "bob" });
    t.after(() => other.stop());
    await other.ask("echo", "x");
    upstream.child.kill("SIGSTOP");
    return { service, client };
  }

  test("S1-28 an event that stays unanswered holds it no longer than the drain timeout, and it exits with 0", async (t) => {
    const { service, client } = await hanging(t, "1");
    const code = await service.stop("SIGTERM");
    assert.equal(code, 0, service.errors.join("\n"));
    await client.disconnected.take("the disconnect notice");
    assert.match(service.errors.join("\n"), /left before all was settled/);
  });

  test("S1-28 a second SIGTERM ends the wait, and it exits with 0", async (t) => {
    const { service, client } = await hanging(t, "3600");
    service.child.kill("SIGTERM");
    await client.disconnected.take("the disconnect notice");
    const code = await service.stop("SIGTERM");
    assert.equal(code, 0, service.errors.join("\n"));
    assert.match(service.errors.join("\n"), /left before all was settled/);
  });

  test("an occupied port is an error that says so, not a hang", async (t) => {
    const service = await serving(t);
    const { port } = new URL(service.clients);
    const args = ["serve", "--listen-clients", `127.0.0.1:${port}`, "--listen-upstream", "http://127.0.0.1:0"];
    await assert.rejects(run(process.env.HEADWATER_BIN, args, { timeout: PATIENCE_MS }), (error) => {
      assert.ok(error.code > 0, `it ended with ${error.code ?? error.signal}`);
      assert.match(error.stderr, new RegExp(port));
      return true;
    });
  });
});

async function connects(t, url) {
  const client = new WebPubSubClient(url, { protocol: WebPubSubJsonProtocol(), autoReconnect: false });
  t.after(() => client.stop());
  const connected = new Promise((done) => client.on("connected", done));
  await client.start();
  return within(connected, "the connected message");
}

describe("headwater token", () => {
  test("prints a client URL with user, roles and groups", async (t) => {
    const service = await serving(t);
    const args = ["token", "--hub", "quiet", "--user", "ann", "--access-key", KEY, "--endpoint", service.clients];
    args.push("--role", "webpubsub.sendToGroup.a", "--role", "webpubsub.joinLeaveGroup.b", "--group", "a");
    const { stdout } = await run(process.env.HEADWATER_BIN, args);
    const socket = new WebSocket(stdout.trim(), "json.webpubsub.azure.v1");
    t.after(() => socket.terminate());
    const heard = new Inbox();
    socket.on("message", (data) => heard.put(JSON.parse(data)));
    assert.equal((await heard.take("the connected message")).userId, "ann");
    socket.send(JSON.stringify({ type: "joinGroup", group: "b", ackId: 1 }));
    socket.send(JSON.stringify({ type: "sendToGroup", group: "a", dataType: "text", data: "x", ackId: 2 }));
    assert.deepEqual(await heard.take("the join"), { type: "ack", ackId: 1, success: true });
    const message = await heard.take("its own message", (event) => event.type === "message");
    assert.deepEqual([message.group, message.data, message.fromUserId], ["a", "x", "ann"]);
  });
});

describe("the example that embeds the service", () => {
  test("a client chats with an application in the same process", async (t) => {
    const chat = new Program(process.env.HEADWATER_CHAT, ["--listen-clients", "127.0.0.1:0"]);
    t.after(() => chat.stop("SIGINT"));
    await chat.line("ready", (line) => line.startsWith("ready"));
    const line = await chat.line("the example client URL", (printed) => printed.includes("access_token="));
    const client = new WebPubSubClient(line.match(/ws:\S+/)[0], { protocol: WebPubSubJsonProtocol(), autoReconnect: false });
    t.after(() => client.stop());
    const replies = new Inbox();
    client.on("server-message", ({ message }) => replies.put(message.data));
    await client.start();
    await within(client.sendEvent("echo", "hello", "text"), "the ack");
    assert.equal(await replies.take("the reply"), "hello");
  });
});

describe("the upstream is not there", () => {
  test("a hub that never had one admits by token, and its events fail at once", async (t) => {
    const service = await serving(t);
    const client = await Client.connect(service, { hub: "quiet", user: "ann", roles: ["webpubsub.joinLeaveGroup"] });
    t.after(() => client.stop());
    await client.official.joinGroup("g");
    assert.equal(await errorName(client.official.sendEvent("echo", "x", "text")), "InternalServerError");
  });

  test("a simple client is closed when there is nobody to hear it", async (t) => {
    const service = await serving(t);
    const socket = new WebSocket(await service.clientUrl({ hub: "quiet", user: "ann" }));
    t.after(() => socket.terminate());
    const closed = new Promise((done) => socket.on("close", done));
    socket.on("open", () => socket.send("anyone?"));
    await within(closed, "the close");
  });

  for (const language of ["rust", "python"]) {
    test(`one lost in mid-event ends that event with an error ack (${language})`, async (t) => {
      const service = await serving(t);
      const upstream = await startUpstream(language, service);
      const [client, other] = [await Client.connect(service, { user: "ann" }), await Client.connect(service, { user: "bob" })];
      t.after(() => [client, other].forEach((each) => each.stop()));
      const slow = errorName(client.official.sendEvent("slow", "", "text"));
      // Acked after the service has passed the slow one on, and answered after the application has it.
      await client.official.joinGroup("g");
      await other.ask("echo", "x");
      await upstream.stop("SIGKILL");
      assert.equal(await slow, "InternalServerError");
      const next = await startUpstream(language, service);
      t.after(() => next.stop());
      assert.equal((await client.ask("echo", "again")).reply.data, "again", "a new upstream serves the old connection");
    });
  }
});
