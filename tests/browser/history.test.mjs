// The contact history and the report: what staff look at all day.

import assert from "node:assert/strict";
import { test } from "node:test";
import { anEmail, calm, signedIn, staged, until } from "./demo.mjs";

const [demo, browser] = await staged();

const rowOf = (page, id) => page.locator(`tr[id="${id}"]`);

test("a client's history has the eight columns, and both badges when both hold", async () => {
  const { client, entry } = await anEmail(demo, { to: "opened-then-bounced@simulator.test" });
  const page = await signedIn(browser, demo);
  await page.goto(`/clients/${client}`);
  const headings = await page.locator("thead th").allInnerTexts();
  const words = headings.map((text) => text.trim().split("\n")[0].trim());
  assert.deepEqual(words, ["Date", "User", "Contact Method", "Type", "Contact Type", "Status", "Channel", "Action"]);
  // Live: the statuses come without a reload.
  const badges = rowOf(page, entry).locator(".badge");
  await until(async () => (await badges.count()) === 2, "both badges");
  const texts = await badges.allInnerTexts();
  assert.match(texts[0], /Opened/);
  assert.match(texts[1], /Bounced/);
  // The reason shows on hover and on focus.
  const tip = badges.nth(1).locator(".tip");
  await page.mouse.move(0, 0);
  assert.equal(await tip.isVisible(), false);
  await badges.nth(1).hover();
  await tip.waitFor({ state: "visible" });
  assert.match(await tip.innerText(), /\w+ .*\./);
  await page.mouse.move(0, 0);
  await tip.waitFor({ state: "hidden" });
  await badges.nth(1).focus();
  await tip.waitFor({ state: "visible" });
  await page.keyboard.press("Escape");
  await tip.waitFor({ state: "hidden" });
  calm(page);
});

test("what is sent while the page is open appears by itself", async () => {
  const page = await signedIn(browser, demo);
  const { entry } = await anEmail(demo);
  await rowOf(page, entry).waitFor();
  assert.match(await rowOf(page, entry).innerText(), /Awaiting Send|Sent/);
  await until(async () => /Unopened/.test(await rowOf(page, entry).innerText()), "the next status");
  calm(page);
});

test("filters stand in the address, can be shared and taken off one by one", async () => {
  const page = await signedIn(browser, demo);
  await anEmail(demo, { to: "bounced@simulator.test" });
  await page.getByText("Filters", { exact: true }).click();
  await page.locator("#method").selectOption("Email");
  await page.locator("#filters").getByLabel("Bounced", { exact: true }).check();
  // What is chosen applies at once; without scripts a button does it.
  await page.waitForURL(/method=email.*status=Bounced/);
  await until(async () => (await page.locator(".chips li").count()) === 3, "both filters in force");
  await until(async () => (await page.locator("#lines > tr .badge").count()) > 0, "a bounced email", 40_000);
  for (const row of await page.locator("#lines > tr").all()) {
    assert.match(await row.innerText(), /Bounced/);
  }
  const other = await signedIn(browser, demo);
  await other.goto(page.url());
  await other.getByText("Filters", { exact: true }).click();
  assert.equal(await other.locator("#method").inputValue(), "email");
  await page.locator(".chips a").first().click();
  await until(async () => !(/method=email/.test(page.url()) && /status=Bounced/.test(page.url())), "one filter less");
  calm(page);
});

test("a filter that means nothing is told and the rest holds", async () => {
  const page = await signedIn(browser, demo);
  const response = await page.goto("/?method=fax&from=yesterday");
  assert.equal(response.status(), 200);
  const text = await page.locator("main").innerText();
  assert.match(text, /fax/);
  assert.match(text, /yesterday/);
});

test("search follows every key, over description, tags, id and date", async () => {
  const page = await signedIn(browser, demo);
  const { entry } = await anEmail(demo, {
    type: "Quartz inspection",
    content: { subject: "Zebra parade", html: "<p>The zebra parade starts at the harbour.</p>" },
  });
  await rowOf(page, entry).waitFor();
  const search = page.locator("#search");
  await search.pressSequentially("quartz insp", { delay: 20 });
  await until(async () => (await page.locator("#lines > tr").count()) === 1, "one line left");
  assert.equal(await page.locator("#lines > tr").getAttribute("id"), entry);
  assert.match(page.url(), /search=quartz/);
  await search.fill(entry);
  await until(async () => (await page.locator("#lines > tr").getAttribute("id")) === entry, "found by its id");
  await search.fill("zebra");
  await until(async () => (await page.locator(`tr[id="${entry}"]`).count()) === 1, "found by its tag");
  await search.fill("nothing is called this");
  await until(async () => (await page.locator("#empty").count()) === 1, "the empty state");
  assert.match(await page.locator("#empty").innerText(), /\w/);
  calm(page);
});

test("a heading sorts, a second click turns the order", async () => {
  const page = await signedIn(browser, demo);
  for (const type of ["Aardvark", "Zymurgy"]) await anEmail(demo, { type });
  await page.goto("/");
  const heading = page.locator("thead th", { hasText: /^\s*Type/ });
  await heading.getByRole("link").click();
  await page.waitForURL(/sort=/);
  const types = () => page.locator("#lines > tr td.type").allInnerTexts();
  const first = await types();
  assert.equal(await page.locator("thead th[aria-sort]").count() > 0, true);
  await page.locator("thead th", { hasText: /^\s*Type/ }).getByRole("link").click();
  await until(async () => (await types())[0] !== first[0], "the other order");
  const both = [first[0], (await types())[0]].map((text) => text.split("\n")[0]).sort();
  assert.deepEqual(both, ["Aardvark", "Zymurgy"]);
  calm(page);
});

test("hidden columns stay hidden for that person, and for nobody else", async () => {
  const page = await signedIn(browser, demo, "contact-centre@demo.example");
  await page.getByText("Columns", { exact: true }).click();
  await page.locator(".chooser").getByLabel("Channel").uncheck();
  await page.getByRole("button", { name: "Save" }).click();
  const shown = async (of) => (await of.locator("thead th").allInnerTexts()).join(" ");
  await until(async () => !/Channel/.test(await shown(page)), "the column gone");
  const again = await signedIn(browser, demo, "contact-centre@demo.example");
  assert.doesNotMatch(await shown(again), /Channel/);
  const other = await signedIn(browser, demo);
  assert.match(await shown(other), /Channel/);
});

test("paging feels endless: older entries come as one scrolls, none twice", async () => {
  const client = { id: `T-many-${process.pid}`, name: "Many Letters" };
  const one = (n) => ({
    client,
    method: "email",
    to: "delivered@simulator.test",
    type: `Letter ${n}`,
    content: { subject: "Hello", text: "Hello" },
  });
  await demo.post("/v1/notifications", { notifications: Array.from({ length: 120 }, (_, n) => one(n)) });
  const page = await signedIn(browser, demo);
  await page.goto(`/clients/${client.id}`);
  assert.equal(await page.locator("#lines > tr").count(), 50);
  await until(async () => {
    await page.mouse.wheel(0, 20_000);
    return (await page.locator("table.history tbody > tr").count()) === 120;
  }, "all lines");
  const ids = await page.locator("table.history tbody > tr").evaluateAll((rows) => rows.map((row) => row.id));
  assert.equal(new Set(ids).size, 120);
  calm(page);
});

test("everything in a row is reached by the keyboard", async () => {
  const { client, entry } = await anEmail(demo);
  const page = await signedIn(browser, demo);
  await page.goto(`/clients/${client}`);
  const menu = rowOf(page, entry).locator("summary");
  await menu.focus();
  await page.keyboard.press("Enter");
  const show = rowOf(page, entry).getByRole("link", { name: "Show" });
  await show.waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/entries/${entry}`);
  calm(page);
});

test("without scripts the pages work the same, only later", async () => {
  const { client, entry } = await anEmail(demo, { type: "Plain and simple" });
  const page = await signedIn(browser, demo, "admin@demo.example", { javaScriptEnabled: false });
  await page.locator("#search").fill("plain and simple");
  await page.locator("#search").press("Enter");
  await page.waitForURL(/search=plain/);
  assert.equal(await page.locator("#lines > tr").count(), 1);
  await page.goto(`/clients?q=${client}`);
  await page.locator("main").getByRole("link", { name: /Tess/ }).click();
  await rowOf(page, entry).locator("summary").click();
  await rowOf(page, entry).getByRole("link", { name: "Show" }).click();
  await page.waitForURL(`**/entries/${entry}`);
});
