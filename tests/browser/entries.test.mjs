// One entry: the message, the story, renaming, tags, resend.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { anEmail, calm, signedIn, staged, until } from "./demo.mjs";

const [demo, browser] = await staged();

test("the message is shown as it was sent, and its pictures only when asked for", async (t) => {
  const asked = [];
  const server = createServer((request, answer) => {
    asked.push(request.url);
    answer.end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const picture = `http://127.0.0.1:${server.address().port}/pixel.png`;
  const html = `<p>Hello <b>Tess</b></p><img src="${picture}" alt=""><script>window.top.pwned = 1</script>`;
  const { entry } = await anEmail(demo, { content: { subject: "A picture", html, text: "Hello Tess" } });
  const page = await signedIn(browser, demo);
  await page.goto(`/entries/${entry}`);
  const frame = page.frameLocator("iframe");
  await frame.locator("b", { hasText: "Tess" }).waitFor();
  assert.deepEqual(asked, []);
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  await page.getByRole("button", { name: "Show the pictures" }).click();
  await page.frameLocator("iframe").locator("b", { hasText: "Tess" }).waitFor();
  await until(() => asked.length > 0, "the picture asked for");
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  await page.getByRole("link", { name: "Text", exact: true }).click();
  assert.match(await page.locator("pre.message").innerText(), /Hello/);
  await page.getByRole("link", { name: "Headers", exact: true }).click();
  assert.match(await page.locator("dl.headers").innerText(), /A picture/);
});

test("a description is renamed and the former text stays on record", async () => {
  const { entry } = await anEmail(demo);
  const page = await signedIn(browser, demo);
  await page.goto(`/entries/${entry}`);
  for (const text of ["Sent by mistake", "Sent by mistake: see the next one"]) {
    await page.locator("section", { has: page.locator("#rename") }).locator("summary").click();
    await page.getByRole("textbox", { name: "Description" }).fill(text);
    await page.getByRole("button", { name: "Save the description" }).click();
    await page.locator("p.words", { hasText: text }).waitFor();
  }
  const story = await page.locator("ol.trail").innerText();
  assert.match(story, /Dana Okafor/);
  assert.match(story, /Sent by mistake/);
  calm(page);
});

test("tags come from the content and can be changed", async () => {
  const { entry } = await anEmail(demo, {
    content: { subject: "Pottery workshop", html: "<p>The pottery workshop moves to the glass studio. Pottery tools are provided.</p>" },
  });
  const page = await signedIn(browser, demo);
  await page.goto(`/entries/${entry}`);
  const tags = page.locator("section", { has: page.locator("#tags") });
  assert.match((await tags.innerText()).toLowerCase(), /pottery/);
  await tags.locator("summary").click();
  await page.getByLabel(/Tags, with commas/).fill("clay, moved");
  await page.getByRole("button", { name: "Save the tags" }).click();
  await page.locator("ul.tags li", { hasText: "clay" }).waitFor();
  assert.deepEqual(await page.locator("ul.tags li").allInnerTexts(), ["clay", "moved"]);
});

test("resend makes one new entry, however often the button is pressed", async () => {
  const { client, entry } = await anEmail(demo);
  const page = await signedIn(browser, demo);
  await page.goto(`/entries/${entry}`);
  await page.getByRole("link", { name: "Resend" }).click();
  await page.getByLabel("To a corrected address").check();
  await page.locator("#to").fill("opened@simulator.test");
  // Twice the same form, as a double click sends it.
  await page.getByRole("button", { name: "Resend" }).dblclick();
  // The second click may cut off the answer to the first.
  const arrived = () => /\/entries\/[0-9a-f-]+$/.test(page.url()) && !page.url().includes(entry);
  await until(arrived, "the new entry");
  await page.getByText("Resend of").waitFor();
  const history = await demo.get(`/v1/clients/${client}/history`);
  const again = history.entries.filter((one) => one.resend_of === entry);
  assert.equal(again.length, 1);
  assert.equal(again[0].user, "Dana Okafor");
  assert.equal(again[0].to, "opened@simulator.test");
  await page.goto(`/entries/${entry}`);
  await page.getByText("Sent again").first().waitFor();
});

test("push messages offer no resend", async () => {
  const client = `T-push-${process.pid}`;
  const target = "arn:aws:sns:us-east-1:000000000000:endpoint/GCM/app/delivered";
  const push = await demo.post("/v1/notifications", {
    client: { id: client },
    method: "push",
    to: target,
    type: "Class moved",
    content: { title: "Moved", text: "To room 2" },
  });
  const page = await signedIn(browser, demo);
  await page.goto(`/entries/${push.id}`);
  assert.equal(await page.getByRole("link", { name: "Resend" }).count(), 0);
});

test("a suppressed address is explained, and overridden with a reason by those who may", async () => {
  const { client, entry } = await anEmail(demo, { to: "bounced@simulator.test" });
  await until(async () => {
    const { statuses } = await demo.get(`/v1/notifications/${entry}`);
    return statuses.includes("Bounced");
  }, "the bounce");
  const staff = await signedIn(browser, demo, "contact-centre@demo.example");
  await staff.goto(`/entries/${entry}/resend`);
  await staff.getByText("Nothing is sent to").waitFor();
  assert.equal(await staff.getByLabel(/suppression list and send/).count(), 0);
  const page = await signedIn(browser, demo);
  await page.goto(`/entries/${entry}/resend`);
  await page.getByLabel(/suppression list and send/).check();
  await page.getByLabel(/Reason/).fill("The client has set the mailbox up again.");
  await page.getByRole("button", { name: "Resend" }).click();
  await page.waitForURL((url) => url.pathname.startsWith("/entries/") && !url.pathname.includes(entry));
  const history = await demo.get(`/v1/clients/${client}/history`);
  assert.equal(history.entries.filter((one) => one.resend_of === entry).length, 1);
});

test("many are sent again from a filter, with a preview and progress", async () => {
  const type = `Storm notice ${process.pid}`;
  const sent = [];
  for (let n = 0; n < 3; n += 1) sent.push(await anEmail(demo, { type }));
  await until(async () => {
    const all = await Promise.all(sent.map((one) => demo.get(`/v1/notifications/${one.entry}`)));
    return all.every((one) => one.status !== "Awaiting Send");
  }, "all sent");
  const page = await signedIn(browser, demo);
  await page.goto(`/resend?search=${encodeURIComponent(type)}`);
  await page.getByRole("button", { name: "Resend 3" }).click();
  await page.waitForURL(/\/resend\/[0-9a-f-]+/);
  await until(async () => /3 of 3/.test(await page.locator("#state-of-run").innerText()), "the end of the run");
  const found = await demo.get(`/v1/history?search=${encodeURIComponent(type)}`);
  assert.equal(found.entries.filter((one) => one.resend_of).length, 3);
});
