// The official JavaScript client, unmodified, against the real service, with the application in Rust and in Python.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, Inbox, UPSTREAM_URLS, WebSocket, startPair, within } from "./harness.mjs";

const PAYLOADS = [
  ["text", "grüße, 世界", "grüße, 世界"],
  ["json", { nested: [1, "two", null, { three: 3.5 }] }, { nested: [1, "two", null, { three: 3.5 }] }],
  ["json", "a JSON string stays a JSON string", "a JSON string stays a JSON string"],
  ["binary", new Uint8Array([0, 1, 127, 128, 255]).buffer, [0, 1, 127, 128, 255]],
  ["protobuf", new Uint8Array([10, 1, 97]).buffer, [10, 1, 97]],
];

// Binary payloads as plain numbers, so that they compare.
function plain(message) {
  const { data } = message;
  return data instanceof ArrayBuffer || ArrayBuffer.isView(data) ? [...new Uint8Array(data)] : data;
}

const PAIRS = [["python", UPSTREAM_URLS[0]], ...UPSTREAM_URLS.map((url) => ["rust", url])];

// The program of the application in Rust is the same over every transport (U-10).
for (const [language, url] of PAIRS) {
  describe(`official JavaScript client, ${language} upstream over ${url.split(":")[0]}`, () => {
    let service;
    let upstream;
    before(async () => {
      [service, upstream] = await startPair(language, url);
    });
    after(async () => {
      await upstream?.stop();
      await service?.stop();
    });

    // Two clients in one group, and a way to tell that nothing else came: the next message is the marker.
    async function pair(t, group) {
      const clients = [await Client.connect(service, { user: "ann" }), await Client.connect(service, { user: "bob" })];
      t.after(() => clients.forEach((client) => client.stop()));
      for (const client of clients) await client.official.joinGroup(group);
      return clients;
    }

    test("S1-05 a client connects with the user id of its token", async (t) => {
      const client = await Client.connect(service, { user: "ann" });
      t.after(() => client.stop());
      assert.equal(client.userId, "ann");
      assert.match(client.connectionId, /^[A-Za-z0-9_-]+$/, "connection ids are URL-safe");
      const { reply } = await client.ask("whoami");
      assert.deepEqual([reply.dataType, reply.data.userId, reply.data.connectionId], ["json", "ann", client.connectionId]);
      assert.deepEqual([reply.data.hub, reply.data.subprotocol], ["chat", "json.webpubsub.azure.v1"]);
    });

    test("S1-18 the application gives a user id and groups when the client connects", async (t) => {
      const client = await Client.connect(service, { query: { user: "carl", lobby: "1" } });
      t.after(() => client.stop());
      assert.equal(client.userId, "carl");
      await client.ask("say", "hi");
      const heard = await client.group.take("the message to the lobby");
      assert.deepEqual([heard.group, heard.data], ["lobby", { user: "carl", text: "hi" }]);
    });

    test("S1-06 a refused connect is a 401, and leaves no connection behind", async () => {
      for (const who of [{ user: "dora", query: { refuse: "1" } }, { user: "banned" }]) {
        await assert.rejects(Client.connect(service, who), /401/, JSON.stringify(who));
      }
      const noticed = upstream.lines.rest.filter((line) => /dora|banned/.test(line));
      assert.deepEqual(noticed, [], "one who never came in cannot leave");
    });

    for (const [dataType, data, expected] of PAYLOADS) {
      const title = `${dataType} (${typeof data})`;
      test(`S1-11 ${title} reaches every member of a group, the sender too`, async (t) => {
        const group = `all-${title}`;
        const [ann, bob] = await pair(t, group);
        const result = await ann.official.sendToGroup(group, data, dataType);
        assert.equal(result.isDuplicated, false);
        for (const client of [ann, bob]) {
          const heard = await client.group.take(`${title} for the group`);
          assert.deepEqual([heard.group, heard.fromUserId, heard.dataType], [group, "ann", dataType]);
          assert.deepEqual(plain(heard), expected);
        }
      });

      test(`S1-08 an event with ${title} is answered with the same, before its ack and to the sender only`, async (t) => {
        const [ann, bob] = await pair(t, `echo-${title}`);
        const { reply, isDuplicated } = await ann.ask("echo", data, dataType);
        assert.equal(isDuplicated, false);
        assert.ok(reply, "the reply is there when the ack is");
        assert.deepEqual([reply.dataType, plain(reply)], [dataType, expected]);
        await bob.ask("echo", "marker");
        assert.deepEqual(bob.server.rest, [], "bob heard his own reply only");
      });
    }

    test("S1-13 after leaving, a client hears no more of the group", async (t) => {
      const [ann, bob] = await pair(t, "left");
      await bob.official.leaveGroup("left");
      await ann.official.sendToGroup("left", "unheard", "text");
      await bob.official.joinGroup("left");
      await ann.official.sendToGroup("left", "marker", "text");
      assert.equal((await bob.group.take()).data, "marker");
      await bob.official.leaveGroup("never joined");
    });

    test("S1-13 joining twice is joining once", async (t) => {
      const [ann, bob] = await pair(t, "twice");
      await bob.official.joinGroup("twice");
      await ann.official.sendToGroup("twice", "one", "text");
      await ann.official.sendToGroup("twice", "two", "text");
      assert.deepEqual([(await bob.group.take()).data, (await bob.group.take()).data], ["one", "two"]);
    });

    test("S1-15 noEcho leaves the sender out", async (t) => {
      const [ann, bob] = await pair(t, "echo");
      await ann.official.sendToGroup("echo", "not for ann", "text", { noEcho: true });
      await ann.official.sendToGroup("echo", "marker", "text");
      assert.equal((await ann.group.take()).data, "marker");
      assert.deepEqual([(await bob.group.take()).data, (await bob.group.take()).data], ["not for ann", "marker"]);
    });

    test("S1-24 a duplicate ack id is told so, and has no second effect", async (t) => {
      const [ann, bob] = await pair(t, "dup");
      assert.equal((await ann.official.sendToGroup("dup", "once", "text", { ackId: 700 })).isDuplicated, false);
      assert.equal((await ann.official.sendToGroup("dup", "once", "text", { ackId: 700 })).isDuplicated, true);
      assert.equal((await ann.official.joinGroup("elsewhere", { ackId: 700 })).isDuplicated, true);
      await ann.official.sendToGroup("dup", "marker", "text");
      assert.deepEqual([(await bob.group.take()).data, (await bob.group.take()).data], ["once", "marker"]);
    });

    test("S1-24 a duplicate event reaches the application once", async (t) => {
      const client = await Client.connect(service, { user: "ann" });
      t.after(() => client.stop());
      await client.ask("count", "", "text", { ackId: 800 });
      const again = await client.ask("count", "", "text", { ackId: 800 });
      assert.deepEqual([again.isDuplicated, again.reply], [true, undefined]);
      assert.equal((await client.ask("count")).reply.data, "2");
    });

    test("S1-18 the state of a connection is kept from event to event, and is its own", async (t) => {
      const [ann, bob] = await pair(t, "state");
      for (const expected of ["1", "2", "3"]) assert.equal((await ann.ask("count")).reply.data, expected);
      assert.equal((await bob.ask("count")).reply.data, "1");
    });

    test("S1-29 a reply and the command that follows it arrive in that order", async (t) => {
      const client = await Client.connect(service, { user: "ann", query: { lobby: "1" } });
      t.after(() => client.stop());
      const order = new Inbox();
      client.official.on("server-message", ({ message }) => order.put(message.data));
      client.official.on("group-message", ({ message }) => order.put(message.data.text));
      for (let round = 0; round < 50; round += 1) {
        await client.ask("say", `line ${round}`);
        assert.deepEqual([await order.take(), await order.take()], ["said", `line ${round}`]);
      }
    });

    test("S1-22 an event that the application fails is acked as failed, and the connection goes on", async (t) => {
      const client = await Client.connect(service, { user: "ann" });
      t.after(() => client.stop());
      await assert.rejects(client.ask("fail"), (error) => error.errorDetail?.name === "InternalServerError");
      assert.equal((await client.ask("no-such-event")).reply.data, "unknown event no-such-event");
    });

    test("S1-16 an event that nobody answers holds up no other connection", async (t) => {
      const [ann, bob] = await pair(t, "slow");
      ann.official.sendEvent("slow", "", "text").catch(() => {});
      // Its own requests to the service go on as well.
      assert.equal((await ann.official.sendToGroup("slow", "here", "text")).isDuplicated, false);
      assert.equal((await bob.ask("echo", "past it")).reply.data, "past it");
    });

    test("S1-09 a closed client is told why, and the application hears of it once", async () => {
      const client = await Client.connect(service, { user: "ann" });
      client.official.sendEvent("kick", "", "text").catch(() => {});
      const told = await client.disconnected.take("the disconnect notice");
      assert.equal(told.message?.message, "kicked");
      const line = await notice(client);
      assert.equal(line, `disconnected ${client.connectionId} ann kicked`);
    });

    test("S1-09 a client that leaves is noticed exactly once", async () => {
      const [first, second] = [await Client.connect(service, { user: "eve" }), await Client.connect(service, { user: "eve" })];
      first.stop();
      assert.match(await notice(first), / eve/);
      second.stop();
      await notice(second);
      assert.deepEqual(upstream.lines.rest.filter((line) => line.includes(first.connectionId)), []);
    });

    function notice(client) {
      const starts = `disconnected ${client.connectionId} `;
      return upstream.line("the disconnect notice", (line) => line.startsWith(starts));
    }

    test("S1-16 twenty clients in a group hear every message of each, in the sender's order", async (t) => {
      const clients = await Promise.all(Array.from({ length: 20 }, (_, i) => Client.connect(service, { user: `user-${i}` })));
      t.after(() => clients.forEach((client) => client.stop()));
      await Promise.all(clients.map((client) => client.official.joinGroup("crowd")));
      const rounds = [0, 1, 2, 3, 4];
      const speak = async (client) => {
        for (const round of rounds) await client.official.sendToGroup("crowd", { round }, "json");
      };
      await Promise.all(clients.map(speak));
      for (const client of clients) {
        const heard = {};
        for (let n = 0; n < clients.length * rounds.length; n += 1) {
          const { fromUserId, data } = await client.group.take(`message ${n} of the crowd`);
          (heard[fromUserId] ??= []).push(data.round);
        }
        assert.equal(Object.keys(heard).length, clients.length);
        for (const [from, order] of Object.entries(heard)) assert.deepEqual(order, rounds, `${from}'s messages`);
      }
    });

    test("a simple client gets its frames back, in the kind in which it sent them", async (t) => {
      const socket = new WebSocket(await service.clientUrl({ user: "ann" }));
      t.after(() => socket.terminate());
      const heard = new Inbox();
      socket.on("message", (data, isBinary) => heard.put(isBinary ? [...data] : data.toString()));
      await within(new Promise((done, failed) => socket.on("open", done).on("error", failed)), "the handshake");
      assert.equal(socket.protocol, "");
      socket.send("text");
      assert.equal(await heard.take("the text"), "text");
      socket.send(Buffer.from([1, 2, 3]));
      assert.deepEqual(await heard.take("the bytes"), [1, 2, 3]);
    });
  });
}
