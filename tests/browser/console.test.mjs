// The console in a real browser: figures behind the charts, current by itself, orders with a reason.

import assert from "node:assert/strict";
import { test } from "node:test";
import { anEmail, calm, signedIn, staged, until } from "./demo.mjs";

const [demo, browser] = await staged();

const figure = (page, name) => page.locator("#flow .legend li", { hasText: name }).locator("b");

test("what is enqueued shows by itself, in the chart and in the table behind it", async () => {
  const page = await signedIn(browser, demo);
  await page.goto("/console?range=1h");
  const before = Number(await figure(page, "Enqueued").textContent());
  await page.getByText("Figures").first().click();
  for (let i = 0; i < 3; i += 1) await anEmail(demo);
  await until(async () => Number(await figure(page, "Enqueued").textContent()) >= before + 3, "the new ones show");
  assert.ok(await page.locator("#figures-flow table").isVisible(), "what was open stays open");
  const rows = page.locator("#figures-flow tbody tr");
  assert.equal(await rows.count(), 60);
  const named = await page.getByRole("img", { name: /^Notifications: Enqueued \d+/ }).count();
  assert.equal(named, 1, "the chart has a name for who does not see it");
  calm(page);
});

test("each source of feedback says when it told something last, and a table what its lines are of", async () => {
  const page = await signedIn(browser, demo);
  await page.goto("/console?range=1h");
  await anEmail(demo);
  await until(async () => await page.locator("#intake dt", { hasText: /^Last from/ }).count(), "a source is named");
  const last = page.locator("#intake dl div", { hasText: /^Last from/ }).first();
  assert.match(await last.locator("dd").textContent(), /^[\d.]+ (ms|s|min) ago, /);
  const time = last.locator("time");
  assert.equal(await time.getAttribute("title"), await time.getAttribute("datetime"));
  for (const [range, word] of [["1h", "minute"], ["24h", "hour"], ["30d", "day"]]) {
    await page.goto(`/console?range=${range}`);
    assert.equal(await page.locator("#figures-flow summary").textContent(), `Figures for each ${word}`);
  }
  calm(page);
});

test("a provider is paused with a reason and resumed, and what is being written is left alone", async () => {
  const page = await signedIn(browser, demo);
  await page.goto("/console");
  const one = page.locator(".providers li").filter({ hasText: "Email by" }).first();
  await one.getByText("Pause").first().click();
  await one.getByLabel("Why").fill("a look at the rates");
  await page.waitForResponse(/\/console\/live/);
  assert.equal(await one.getByLabel("Why").inputValue(), "a look at the rates");
  await one.getByRole("button", { name: "Pause" }).click();
  await page.waitForURL(/#providers$/);
  await one.getByText("a look at the rates").waitFor();
  await one.getByRole("button", { name: /^Resume/ }).click();
  await until(async () => !(await one.textContent()).includes("Paused by"), "it is resumed");
  calm(page);
});

test("it works without scripts, and others have no right to it", async () => {
  const plain = await signedIn(browser, demo, "admin@demo.example", { javaScriptEnabled: false });
  await plain.goto("/console?range=30d");
  assert.equal(await plain.locator("nav.tabs a[aria-current]").textContent(), "30 days");
  assert.ok(await plain.locator("#flow svg[role=img]").count());
  const other = await signedIn(browser, demo, "staff@demo.example");
  const answer = await other.goto("/console");
  assert.equal(answer.status(), 403);
});
