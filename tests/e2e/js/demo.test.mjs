// `headwater demo` as a person meets it: two tabs of a real browser chat through the page that it serves.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import https from "node:https";
import { after, before, describe, test } from "node:test";
import { Service, startBrowser, within } from "./harness.mjs";

describe("headwater demo in a browser", () => {
  let service;
  let browser;
  let close;
  before(async () => {
    service = await Service.start("demo", []);
    [browser, close] = await startBrowser();
  });
  after(async () => {
    await close?.();
    await service?.stop();
  });

  const failures = [];

  // A tab in which someone of this name is connected.
  async function tab(name, { clients } = service) {
    const page = await browser.newPage();
    page.on("pageerror", (error) => failures.push(error.message));
    await page.goto(clients);
    await connected(page);
    await page.fill("#name", name);
    await page.press("#name", "Tab");
    await connected(page);
    return page;
  }

  function connected(page) {
    return page.waitForFunction(() => document.querySelector("#status").textContent === "connected");
  }

  async function say(page, text) {
    await page.fill("#message", text);
    await page.click("#send");
  }

  async function hears(page, ...lines) {
    for (const line of lines) await page.locator("#messages li", { hasText: line }).first().waitFor();
    return page.locator("#messages li").allTextContents();
  }

  test("two tabs exchange messages", async () => {
    const [ann, bob] = [await tab("ann"), await tab("bob")];
    await say(ann, "hello, is anyone here?");
    await hears(bob, "ann: hello, is anyone here?");
    await say(bob, "I am");
    const expected = ["ann: hello, is anyone here?", "bob: I am"];
    assert.deepEqual(await hears(ann, ...expected), expected);
    assert.deepEqual(await hears(bob, ...expected), expected);
    assert.deepEqual(failures, []);
  });

  test("what people write is shown, never run", async () => {
    const [ann, bob] = [await tab("ann"), await tab("bob")];
    const text = '<img src=x onerror="document.title=1"><b>bold</b>';
    await say(ann, text);
    await hears(bob, `ann: ${text}`);
    assert.equal(await bob.locator("#messages img").count(), 0);
    assert.equal(await bob.title(), "Headwater chat");
  });

  test("a tab that lost its connection comes back by itself", async () => {
    const [ann, bob] = [await tab("ann"), await tab("bob")];
    await bob.evaluate("socket.close()");
    await bob.waitForFunction(() => document.querySelector("#status").textContent.startsWith("reconnecting"));
    await connected(bob);
    await say(ann, "welcome back");
    await hears(bob, "ann: welcome back");
  });

  test("over TLS two tabs exchange messages, and who has the printed certificate trusts the page", async (t) => {
    const secure = new Service(process.env.HEADWATER_BIN, ["demo", "--dev-tls", "--listen-clients", "https://127.0.0.1:0"]);
    await secure.untilReady();
    t.after(() => secure.stop());
    assert.match(secure.clients, /^https:/);
    const ca = readFileSync(secure.root);
    const answered = new Promise((done, failed) => https.get(secure.clients, { ca }, done).on("error", failed));
    assert.equal((await within(answered, "the page")).statusCode, 200);
    const [ann, bob] = [await tab("ann", secure), await tab("bob", secure)];
    await say(ann, "is this private?");
    await hears(bob, "ann: is this private?");
    assert.match(await bob.evaluate("socket.url"), /^wss:/);
    assert.deepEqual(failures, []);
  });

  test("the page fits a phone", async () => {
    const phone = await tab("ann");
    await phone.setViewportSize({ width: 360, height: 640 });
    const wide = await phone.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth");
    assert.equal(wide, false, "nothing sticks out");
    assert.ok(await phone.locator("#send").isVisible());
  });
});
