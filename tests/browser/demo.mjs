// Starts `sendtrail demo` for the tests of a file, and a real Chromium to look at it.
//
//   SENDTRAIL_BIN   the program (target/debug/sendtrail)
//   CHROMIUM        the browser (/usr/bin/chromium)
//   SCREENSHOTS     a folder for pictures of what was seen when a test failed

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { after } from "node:test";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const PROGRAM = process.env.SENDTRAIL_BIN ?? join(ROOT, "target/debug/sendtrail");
const BROWSERS = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const START_MS = 60_000;
export const PASSWORD = "only for the demo";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** The program, and the key that its demo prints. */
export async function startDemo(settings = {}) {
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const env = { ...process.env, SENDTRAIL__HTTP__LISTEN: `127.0.0.1:${port}`, ...settings };
  const child = spawn(PROGRAM, ["demo"], { env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stdout.on("data", (text) => (said += text));
  child.stderr.on("data", (text) => (said += text));
  const until = Date.now() + START_MS;
  while (!/export KEY=(\S+)/.test(said)) {
    if (child.exitCode !== null || Date.now() > until) throw new Error(`the demo did not start:\n${said}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const key = said.match(/export KEY=(\S+)/)[1];
  return {
    base,
    key,
    async post(path, body) {
      const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
      const response = await fetch(base + path, { method: "POST", headers, body: JSON.stringify(body) });
      const answer = await response.json();
      assert.ok(response.ok, `${path}: ${response.status} ${JSON.stringify(answer)}`);
      return answer;
    },
    async get(path) {
      const response = await fetch(base + path, { headers: { authorization: `Bearer ${key}` } });
      return response.json();
    },
    async stop() {
      child.kill("SIGTERM");
      if (child.exitCode === null) await once(child, "exit");
    },
  };
}

export async function startBrowser() {
  const executablePath = BROWSERS.find((path) => path && existsSync(path));
  assert.ok(executablePath, "Chromium is needed: apt-get install chromium, or set CHROMIUM");
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}

/** Both, for the tests of a file, and gone after them. */
export async function staged() {
  const [demo, browser] = await Promise.all([startDemo(), startBrowser()]);
  after(async () => {
    await browser.close();
    await demo.stop();
  });
  return [demo, browser];
}

/** A page of one member of the sample staff, whose errors fail the test. */
export async function signedIn(browser, demo, email = "admin@demo.example", options = {}) {
  const context = await browser.newContext({ baseURL: demo.base, acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.troubles = [];
  page.on("pageerror", (error) => page.troubles.push(String(error)));
  page.on("console", (message) => {
    // What the browser says of a refused answer; tests of refusals look at the answer itself.
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) {
      page.troubles.push(message.text());
    }
  });
  if (email) {
    await page.goto("/sign-in");
    await page.getByLabel("Email").fill(email);
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.waitForURL((url) => !url.pathname.startsWith("/sign-in"));
  }
  return page;
}

/** WCAG 2.2 AA as far as axe can judge it. */
export async function accessible(page, what) {
  // As the debugger's: the policy of the page would refuse it as a script of the page.
  await page.evaluate(await readFile(AXE, "utf8"));
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
  const found = await page.evaluate((values) => window.axe.run({ runOnly: { type: "tag", values } }), tags);
  const told = found.violations.map((v) => `${v.id}: ${v.help}\n  ${v.nodes.map((n) => n.html).slice(0, 3).join("\n  ")}`);
  assert.deepEqual(told, [], `${what} is not accessible`);
}

export function calm(page) {
  assert.deepEqual(page.troubles, [], "the page reported errors");
}

/** Waits until a look at something satisfies; for what happens by itself. */
export async function until(look, what, ms = 30_000) {
  const end = Date.now() + ms;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    assert.ok(Date.now() < end, `${what}: not within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

let number = 0;

/** A client of its own for a test, with one email. Returns both ids. */
export async function anEmail(demo, fields = {}) {
  number += 1;
  const id = `T-${process.pid}-${number}`;
  const { client = {}, content = {}, ...rest } = fields;
  const answer = await demo.post("/v1/notifications", {
    client: { id, name: `Tess Number${number}`, ...client },
    method: "email",
    to: "delivered@simulator.test",
    type: "Booking confirmation",
    content: { subject: "See you on Monday", html: "<p>See you on <b>Monday</b>.</p>", ...content },
    ...rest,
  });
  return { client: client.id ?? id, entry: answer.id };
}
