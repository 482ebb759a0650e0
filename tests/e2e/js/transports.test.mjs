// One program of an application, whose start says how it reaches its service.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http2 from "node:http2";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { Client, KEY, Program, Service, UPSTREAM_URLS, WebSocket, startUpstream, within } from "./harness.mjs";

const CALLS = "trace=socket,connect,bind,listen";

// What the application asks the system for while a client chats with it, by strace.
async function traced(t, run) {
  assert.equal(spawnSync("strace", ["--version"]).status, 0, "this test needs strace");
  const folder = mkdtempSync(path.join(tmpdir(), "headwater-e2e-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const trace = path.join(folder, "trace");
  const [service, upstream] = await run(["strace", "-f", "-qq", "-e", CALLS, "-o", trace]);
  const client = await Client.connect(service, { user: "ann" });
  assert.equal((await client.ask("echo", "hello")).reply.data, "hello");
  client.stop();
  // strace keeps signals from itself; it ends with what it traces.
  const { pid } = upstream.child;
  process.kill(Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")), "SIGTERM");
  assert.equal(await within(upstream.exit, "the application to end"), 0);
  if (service !== upstream) await service.stop();
  const calls = readFileSync(trace, "utf8").split("\n").map((line) => line.replace(/^\d+ +/, ""));
  return (name) => calls.filter((line) => line.startsWith(`${name}(`));
}

describe("transports", () => {
  test("U-10 in one process, nothing is opened but the port for clients", async (t) => {
    const calls = await traced(t, async (strace) => {
      const both = await Service.embedded("inproc://chat", strace);
      return [both, both];
    });
    assert.equal(calls("socket").length, 1, `the port for clients: ${calls("socket")}`);
    assert.equal(calls("listen").length, 1, `the port for clients: ${calls("listen")}`);
    assert.deepEqual(calls("connect"), [], "nobody is dialled");
  });

  test("U-10 the same program dials over a network when it is told so, which strace sees", async (t) => {
    const calls = await traced(t, async (strace) => {
      const service = await Service.start();
      return [service, await startUpstream("rust", service, strace)];
    });
    assert.ok(calls("connect").length > 0, "the service is dialled");
    assert.deepEqual(calls("listen"), [], "an application opens no port");
  });

  test("one service takes upstreams at several URLs at once", async (t) => {
    const more = UPSTREAM_URLS.filter((url) => !/^(inproc|http):/.test(url));
    more.push("https+h3://127.0.0.1:0", "grpc-web+http://127.0.0.1:0");
    const service = await Service.start("serve", [
      "--access-key", KEY, "--dev-tls", ...more.flatMap((url) => ["--listen-upstream", url]),
    ]);
    t.after(() => service.stop());
    assert.equal(service.upstreams.length, 1 + more.length, "all of them are told");
    for (const url of service.upstreams) {
      service.upstream = url;
      const upstream = await startUpstream("rust", service);
      const client = await Client.connect(service, { user: "ann" });
      assert.equal((await client.ask("echo", url)).reply.data, url);
      client.stop();
      assert.equal(await upstream.stop(), 0, url);
    }
  });

  test("S4-85 what listens by HTTP/2 announces the HTTP/3 beside it, as Node's own client reads it", async (t) => {
    const announced = async (...urls) => {
      const args = ["--access-key", KEY, "--dev-tls", ...urls.flatMap((url) => ["--listen-upstream", url])];
      const service = await Service.start("serve", args);
      t.after(() => service.stop());
      const [, url, other] = service.upstreams;
      const session = http2.connect(url.replace("https+h3:", "https:"), { ca: readFileSync(service.root) });
      t.after(() => session.close());
      const stream = session.request({ ":method": "POST", ":path": "/no.Service/Method", "content-type": "application/grpc" });
      const headers = new Promise((done, failed) => stream.on("response", done).on("error", failed));
      stream.end();
      return [(await within(headers, "an answer"))["alt-svc"], url, other].map(String);
    };
    const port = (url) => url.split(":").at(-1);
    const [beside, , http3] = await announced("https://127.0.0.1:0", "h3://127.0.0.1:0");
    assert.equal(beside, `h3=":${port(http3)}"; ma=86400`);
    const [same, both] = await announced("https+h3://127.0.0.1:0");
    assert.equal(same, `h3=":${port(both)}"; ma=86400`, "of the same port");
    const [none] = await announced("https://127.0.0.1:0");
    assert.equal(none, "undefined", "there is none");
    const [elsewhere] = await announced("https://127.0.0.1:0", "h3://[::1]:0");
    assert.equal(elsewhere, "undefined", "it is at another host");
  });

  test("clients come over TLS to a certificate that was made up", async (t) => {
    const tls = ["--dev-tls", "--listen-clients", "https://127.0.0.1:0"];
    const service = new Service(process.env.HEADWATER_BIN, ["serve", "--access-key", KEY, "--listen-upstream", "http://127.0.0.1:0", ...tls]);
    await service.untilReady();
    t.after(() => service.stop());
    assert.match(service.clients, /^https:/);
    const url = service.printed.join("\n").match(/^example client URL: (wss:.*)$/m)[1];
    const refused = new WebSocket(url);
    const why = await within(new Promise((done) => refused.on("error", done)), "the refusal");
    assert.match(why.message, /certificate/, "nobody trusts it by itself");
    const trusting = new WebSocket(url, { ca: readFileSync(service.root) });
    t.after(() => trusting.terminate());
    await within(new Promise((done, failed) => trusting.on("open", done).on("error", failed)), "the handshake");
  });

  test("a certificate is asked for by name where one is missing", async () => {
    const service = new Program(process.env.HEADWATER_BIN, ["serve", "--listen-clients", "127.0.0.1:0", "--listen-upstream", "https://127.0.0.1:0"]);
    assert.equal(await service.exit, 1);
    assert.match(service.errors.join("\n"), /--tls-cert and --tls-key, or --dev-tls/);
  });

  test("an application that does not trust the service says so", async (t) => {
    const service = await Service.start("serve", ["--access-key", KEY], "https://127.0.0.1:0");
    const other = await Service.start("serve", ["--access-key", KEY], "https://127.0.0.1:0");
    t.after(() => Promise.all([service.stop(), other.stop()]));
    const args = ["--service", service.upstream, "--connection-string", service.connectionString, "--ca", other.root];
    const upstream = new Program(process.env.HEADWATER_CHAT_UPSTREAM, args);
    t.after(() => upstream.stop("SIGKILL"));
    while (!upstream.errors.some((line) => /no authority that is trusted/.test(line))) {
      await new Promise((look) => upstream.child.stderr.once("data", () => setImmediate(look)));
    }
  });
});
