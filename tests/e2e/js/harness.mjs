// Starts the processes under test and waits for what they say. Nothing here sleeps: every wait is for a line, a
// message or an exit, and ends with an error that tells what was awaited and what came instead.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
export const KEY = "a-key-for-tests-0123456789-0123456789";
// How long a wait may take on a busy machine before it counts as a failure.
export const PATIENCE_MS = 20_000;
const EXIT_MS = 15_000;

// `cargo xtask e2e` says where everything is.
function from(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: start these tests with \`cargo xtask e2e\``);
  return value;
}

const load = createRequire(path.join(from("HEADWATER_NODE"), "package.json"));
export const { WebPubSubClient, WebPubSubJsonProtocol } = load("@azure/web-pubsub-client");
export const { WebPubSubServiceClient } = load("@azure/web-pubsub");
export const { WebSocket } = load("ws");
const { chromium } = load("playwright-core");

// Ends with `promise`, or fails naming `what` when it takes too long.
export function within(promise, what, limit = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${limit} ms for ${typeof what === "function" ? what() : what}`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Values in the order in which they came, to be taken one at a time.
export class Inbox {
  #values = [];
  #waiting = [];

  put(value) {
    this.#values.push(value);
    this.#waiting.splice(0).forEach((wake) => wake());
  }

  // The first value that fits, whatever stands before it; it is taken out.
  async take(what = "a message", fits = () => true) {
    const found = (async () => {
      for (;;) {
        const at = this.#values.findIndex(fits);
        if (at >= 0) return this.#values.splice(at, 1)[0];
        await new Promise((wake) => this.#waiting.push(wake));
      }
    })();
    return within(found, () => `${what}; there is ${JSON.stringify(this.#values)}`);
  }

  // What has come and was not taken.
  get rest() {
    return this.#values;
  }
}

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

// A child process and the lines of its standard output.
export class Program {
  lines = new Inbox();
  errors = [];

  constructor(command, args, env = {}, stdin = "ignore") {
    this.name = path.basename(command);
    this.child = spawn(command, args, { env: { ...process.env, ...env }, stdio: [stdin, "pipe", "pipe"] });
    running.add(this.child);
    createInterface({ input: this.child.stdout }).on("line", (line) => this.lines.put(line));
    createInterface({ input: this.child.stderr }).on("line", (line) => this.errors.push(line));
    this.exit = new Promise((done) => {
      this.child.on("error", (error) => done(error.message));
      this.child.on("close", (code, signal) => done(code ?? signal));
    }).finally(() => running.delete(this.child));
  }

  async line(what, fits) {
    const line = this.lines.take(what, fits);
    line.catch(() => {});
    const gone = this.exit.then((how) => {
      throw new Error(`${this.name} ended (${how}) before ${what}:\n${[...this.lines.rest, ...this.errors].join("\n")}`);
    });
    gone.catch(() => {});
    return Promise.race([line, gone]);
  }

  // Ends it as an operator would, and gives its exit code.
  async stop(signal = "SIGTERM") {
    this.child.kill(signal);
    try {
      return await within(this.exit, `${this.name} to end after ${signal}`, EXIT_MS);
    } catch (error) {
      this.child.kill("SIGKILL");
      throw error;
    }
  }
}

// Where a service takes its upstream, over each transport.
export const UPSTREAM_URLS = [
  "http://127.0.0.1:0",
  "https://127.0.0.1:0",
  `unix:${path.join(tmpdir(), `headwater-e2e-${process.pid}.sock`)}`,
  "h3://127.0.0.1:0",
  "ws://127.0.0.1:0",
  "wss://127.0.0.1:0",
  "inproc://chat",
];
const LISTEN_CLIENTS = ["--listen-clients", "127.0.0.1:0"];

// The real service, on free ports of the loopback.
export class Service extends Program {
  static async start(command = "serve", args = ["--access-key", KEY], url = UPSTREAM_URLS[0]) {
    const listen = [...LISTEN_CLIENTS];
    if (command === "serve") listen.push("--listen-upstream", url);
    if (/^(https|h3|wss):/.test(url)) listen.push("--dev-tls");
    return new Service(from("HEADWATER_BIN"), [command, ...listen, ...args]).untilReady();
  }

  // The application in Rust with the service in its own process.
  static async embedded(url, wrap = []) {
    const [program, ...args] = [...wrap, from("HEADWATER_CHAT_UPSTREAM"), "--service", url, ...LISTEN_CLIENTS];
    return new Service(program, [...args, "--access-key", KEY]).untilReady();
  }

  async untilReady() {
    const ready = await this.line("ready", (line) => line.startsWith("ready"));
    const addresses = Object.fromEntries([...ready.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value]));
    this.clients = addresses.clients;
    this.upstreams = [...ready.matchAll(/upstream=(\S+)/g)].map(([, url]) => url);
    [this.upstream] = this.upstreams;
    this.printed = [...this.lines.rest];
    this.connectionString = this.printed.join("\n").match(/Endpoint=\S*AccessKey=\S*/)?.[0];
    this.root = this.printed.join("\n").match(/^root certificate: (.*)$/m)?.[1];
    return this;
  }

  // A client URL, made by the official service library from the printed connection string.
  async clientUrl({ hub = "chat", user, roles, groups, query = {} } = {}) {
    const official = new WebPubSubServiceClient(this.connectionString, hub, { allowInsecureConnection: true });
    const { url } = await official.getClientAccessToken({ userId: user, roles, groups });
    const more = new URLSearchParams(query).toString();
    return more ? `${url}&${more}` : url;
  }
}

// The chat application in its own process, in Rust or in Python.
export async function startUpstream(language, service, wrap = []) {
  const args = ["--service", service.upstream, "--connection-string", service.connectionString];
  if (service.root) args.push("--ca", service.root);
  const script = path.join(ROOT, "examples/python/chat_upstream.py");
  const program = language === "rust" ? [from("HEADWATER_CHAT_UPSTREAM")] : [from("HEADWATER_PYTHON"), script];
  const [command, ...rest] = [...wrap, ...program, ...args];
  const upstream = new Program(command, rest);
  await upstream.line("ready", (line) => line.startsWith("ready"));
  return upstream;
}

// A service and its chat application, over the transport of this URL.
export async function startPair(language, url) {
  if (url.startsWith("inproc:")) {
    const both = await Service.embedded(url);
    return [both, both];
  }
  const service = await Service.start("serve", undefined, url);
  return [service, await startUpstream(language, service)];
}

// The official client, connected, with inboxes for what it hears.
export class Client {
  group = new Inbox();
  server = new Inbox();
  disconnected = new Inbox();

  static async connect(service, who = {}) {
    const client = new Client();
    client.official = new WebPubSubClient(await service.clientUrl(who), {
      protocol: WebPubSubJsonProtocol(),
      autoReconnect: false,
      messageRetryOptions: { maxRetries: 0 },
    });
    const connected = new Promise((done) => client.official.on("connected", done));
    client.official.on("group-message", ({ message }) => client.group.put(message));
    client.official.on("server-message", ({ message }) => client.server.put(message));
    client.official.on("disconnected", (event) => client.disconnected.put(event));
    await client.official.start();
    Object.assign(client, await within(connected, "the connected message"));
    return client;
  }

  // What `sendEvent` rejects or resolves with, and what the application replied.
  async ask(event, data = "", type = "text", options = {}) {
    const result = await within(this.official.sendEvent(event, data, type, options), `the ack of ${event}`);
    return { ...result, reply: this.server.rest.length ? await this.server.take() : undefined };
  }

  stop() {
    this.official.stop();
  }
}

// The sandbox needs rights that a build machine's root has not; the rest keeps the browser from calling home.
const BROWSER_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

// A real browser with a profile of its own, and what closes it and removes that. It takes any certificate: those of the
// tests are made up at their start, so it cannot know them.
export async function startBrowser() {
  const profile = await mkdtemp(path.join(tmpdir(), "headwater-chromium-"));
  const remove = () => rm(profile, { recursive: true, force: true });
  try {
    const options = { executablePath: from("HEADWATER_CHROMIUM"), headless: true, args: BROWSER_FLAGS, ignoreHTTPSErrors: true };
    const browser = await chromium.launchPersistentContext(profile, options);
    browser.setDefaultTimeout(PATIENCE_MS);
    return [browser, () => browser.close().finally(remove)];
  } catch (error) {
    await remove();
    throw error;
  }
}
