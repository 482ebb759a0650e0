// `buf curl`, and servers of the interop cases that it calls, on every transport that both speak.

import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { Program, ROOT, within } from "./harness.mjs";

const NODE = process.env.HEADWATER_NODE;
const load = createRequire(path.join(NODE, "package.json"));
// The schema of a service that cannot be asked for it.
export const PROTOS = path.join(ROOT, "examples/proto");

// The program is in the package of this platform.
const BUF = Object.keys(load("@bufbuild/buf/package.json").optionalDependencies)
  .map((name) => {
    try {
      return load.resolve(`${name}/bin/buf`);
    } catch {
      return undefined;
    }
  })
  .find(Boolean);
// It keeps its files to itself, and a request that leaves the loopback goes to a proxy that is not there.
const home = path.join(NODE, "buf");
const nowhere = "http://127.0.0.1:1";
const ENV = { HOME: home, BUF_CACHE_DIR: home, XDG_CONFIG_HOME: home, HTTP_PROXY: nowhere, HTTPS_PROXY: nowhere };

// Ways to a server: what it listens on, and what `buf` is told to get there. gRPC-Web has no streams of requests, so it has no
// reflection, and knows what is in `PROTOS` alone.
const grpc = { args: ["--protocol", "grpc"], isWeb: false };
const web = { args: ["--protocol", "grpcweb", "--schema", PROTOS], isWeb: true };
const also = (kind, ...more) => ({ ...kind, args: [...kind.args, ...more] });
const WAYS = [
  { name: "HTTP/2", listen: "http://127.0.0.1:0", http: "HTTP/2.0", ...grpc },
  { name: "HTTP/2 with TLS", listen: "https://127.0.0.1:0", http: "HTTP/2.0", ...grpc },
  { name: "HTTP/2 on a Unix socket", listen: "unix:", http: "HTTP/2.0", ...grpc },
  { name: "HTTP/3", listen: "h3://127.0.0.1:0", http: "HTTP/3.0", ...also(grpc, "--http3") },
  { name: "HTTP/2 beside HTTP/3", listen: "https+h3://127.0.0.1:0", http: "HTTP/2.0", ...grpc },
  { name: "HTTP/3 beside HTTP/2", listen: "https+h3://127.0.0.1:0", http: "HTTP/3.0", ...also(grpc, "--http3") },
  { name: "gRPC-Web on HTTP/1.1", listen: "grpc-web+http://127.0.0.1:0", http: "HTTP/1.1", ...web },
  { name: "gRPC-Web on HTTP/2", listen: "grpc-web+http://127.0.0.1:0", http: "HTTP/2.0", ...also(web, "--http2-prior-knowledge") },
  { name: "gRPC-Web with TLS", listen: "grpc-web+https://127.0.0.1:0", http: "HTTP/2.0", ...web },
];

// A server on all ways at once.
export class Server {
  // `options` are those of the program, beside where it listens and what it proves itself with.
  static async start(folder, [cert, key], options = []) {
    const server = new Server();
    const socket = path.join(await mkdtemp(path.join(folder, "socket-")), "interop.sock");
    const urls = [...new Set(WAYS.map((way) => way.listen))];
    const listen = urls.map((url) => (url === "unix:" ? url + socket : url));
    server.program = new Program(process.env.HEADWATER_INTEROP, ["--listen", ...listen, "--cert", cert, "--key", key, ...options]);
    const places = new Map();
    for (const url of urls) {
      const line = await server.program.line("an address", (line) => line.startsWith(`listening ${url.split(":")[0]}:`));
      const isSecured = /^(h3|https|grpc-web\+https|https\+h3):/.test(url);
      const authority = line.split("://")[1];
      places.set(url, {
        isSecured,
        base: authority ? `${isSecured ? "https" : "http"}://${authority}` : "http://localhost",
        args: [...(authority ? [] : ["--unix-socket", socket]), ...(isSecured ? ["--cacert", cert] : [])],
      });
    }
    await server.program.line("ready", (line) => line === "ready");
    server.ways = WAYS.map((way) => new Way(way, places.get(way.listen)));
    return server;
  }

  // Does this on every way that fits. A failure names the way.
  everywhere(check, fits = () => true) {
    return Promise.all(this.ways.filter(fits).map(async (way) => {
      try {
        await check(way);
      } catch (error) {
        throw new Error(`${way.name}: ${error.message}`, { cause: error });
      }
    }));
  }

  // Ends it, and gives what it said of that.
  async stop() {
    assert.equal(await this.program.stop(), 0);
    return this.program.errors.join("\n");
  }
}

class Way {
  constructor({ name, http, args, isWeb }, place) {
    Object.assign(this, { name, http, isWeb, ...place, args: [...args, ...place.args] });
  }

  // Starts a call, which may be heard while it runs.
  start(method, requests, args = [], stdin = "ignore") {
    const data = typeof requests === "string" ? requests : requests.map((request) => JSON.stringify(request)).join("\n");
    return this.run([...args, "-d", data, `${this.base}/${method}`], stdin);
  }

  run(args, stdin) {
    return new Program(BUF, ["curl", ...this.args, ...args], ENV, stdin);
  }

  async call(method, requests, ...args) {
    return result(this.start(method, requests, args));
  }
}

// What a run ended with: its exit code, the messages, the error, and what `-v` told.
export async function result(program) {
  const code = await within(program.exit, "the end of buf curl");
  const told = program.errors.filter((line) => line.startsWith("buf: ")).map((line) => line.slice("buf: ".length));
  const error = program.errors.filter((line) => !line.startsWith("buf: ")).join("\n");
  return {
    code,
    lines: program.lines.rest,
    messages: parse(program.lines.rest.join("\n")),
    error: error.startsWith("{") ? JSON.parse(error) : error || undefined,
    ...read(told),
  };
}

// JSON documents one after the other, each with its braces at the beginning of a line.
function parse(text) {
  return text.startsWith("{") ? text.split(/(?<=^\{?\})\n/m).map((document) => JSON.parse(document)) : [];
}

// The last call that `-v` told of: headers of both sides and trailers by their names, and the bytes of the answer. The
// trailers of gRPC-Web are among those.
function read(told) {
  const last = told.findLast((line) => /^> \(#\d+\) POST/.test(line))?.match(/#\d+/)[0];
  const [request, headers, trailers] = [{}, {}, {}];
  let [bytes, http, blanks] = [0, "", 0];
  for (const line of told) {
    const [, mark, number, text] = line.match(/^([<>{}]) \((#\d+)\) ?(.*)$/) ?? [];
    if (number !== last) continue;
    const [name, value] = text.split(/: (.*)/s);
    if (mark === "{") bytes += Number(text.match(/\d+/)[0]);
    else if (mark === ">") request[name.toLowerCase()] = value;
    else if (mark !== "<") continue;
    else if (text === "") blanks += 1;
    else if (text.startsWith("HTTP/")) [http] = text.split(" ");
    else (blanks === 0 ? headers : trailers)[name.toLowerCase()] = value;
  }
  return { request, headers, trailers, bytes, http };
}
