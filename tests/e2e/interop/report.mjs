// How a client of the interop cases is told what to run, and tells how it went: one line a case.

import { isDeepStrictEqual, inspect } from "node:util";
import { option } from "./testing_protos.mjs";

// This peer's library cannot do all of a case; the message says what it cannot, and what was done in its place.
export class Cannot extends Error {}

// Fails the case unless both are the same.
export function equal(found, expected, what) {
  if (isDeepStrictEqual(found, expected)) return;
  throw new Error(`${what}: expected ${inspect(expected)}, found ${inspect(found)}`);
}

// Runs the cases that the command line names, each with the server's URL. `all` leaves out those named `..._noprobe`:
// what is left of a case toward a server that cannot see message flags.
export async function main(cases) {
  const published = Object.keys(cases).filter((name) => !name.endsWith("_noprobe"));
  const run = option("run", "all");
  const names = run === "all" ? published : run.split(",");
  const unknown = names.filter((name) => !cases[name]);
  if (unknown.length) {
    console.error(`no such case: ${unknown.join(", ")}; there are ${Object.keys(cases).join(", ")}`);
    process.exit(2);
  }
  let failures = 0;
  for (const name of names) {
    try {
      await cases[name](process.argv.at(-1));
      console.log(`ok ${name}`);
    } catch (error) {
      const reason = error.message.replaceAll(/\s+/g, " ");
      if (error instanceof Cannot) {
        console.log(`cannot ${name}: ${reason}`);
      } else {
        failures += 1;
        console.error(error);
        console.log(`failed ${name}: ${reason}`);
      }
    }
  }
  process.exit(failures ? 1 : 0);
}
