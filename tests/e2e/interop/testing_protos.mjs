// The stubs of `grpc.testing`, from the repository's `.proto` files.

import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const place = process.env.HEADWATER_NODE;
if (!place) throw new Error("HEADWATER_NODE is not set: start this with `cargo xtask e2e`");
const load = createRequire(path.join(place, "package.json"));
export const grpc = load("@grpc/grpc-js");
const loader = load("@grpc/proto-loader");

const protos = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../examples/proto");
const definition = loader.loadSync("grpc/testing/test.proto", { includeDirs: [protos], keepCase: true, defaults: true });
export const { TestService, UnimplementedService } = grpc.loadPackageDefinition(definition).grpc.testing;

// The keys whose values the server sends back: the first with its headers, the second with its trailers.
export const ECHO_INITIAL = "x-grpc-test-echo-initial";
export const ECHO_TRAILING = "x-grpc-test-echo-trailing-bin";

// This many zeros.
export function payload(size) {
  return { body: Buffer.alloc(size) };
}

// What follows `--NAME` on the command line.
export function option(name, otherwise) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
}
