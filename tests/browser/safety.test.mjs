// Hostile texts, hostile forms, hostile guessing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { anEmail, calm, PASSWORD, signedIn, staged, until } from "./demo.mjs";

const [demo, browser] = await staged();

// Ways to run a script or to leave the place of a text (OWASP, XSS filter evasion).
const HOSTILE = [
  "<script>window.pwned=1</script>",
  "<img src=x onerror=window.pwned=1>",
  "\"><svg onload=window.pwned=1>",
  "' autofocus onfocus=window.pwned=1 x='",
  "</title></textarea></pre><script>window.pwned=1</script>",
  "<iframe srcdoc=\"<script>parent.pwned=1</script>\">",
  "javascript:window.pwned=1",
  "{{7*7}}${7*7}<%= 7*7 %>",
  "<!--<img src=--><img src=x onerror=window.pwned=1>//-->",
  "\u202Egnp.exe <b>bold</b>",
];

test("hostile names, types, subjects, bodies, tags and reasons are shown as text and run nothing", async () => {
  const entries = [];
  for (const [n, text] of HOSTILE.entries()) {
    entries.push(
      await anEmail(demo, {
        client: { name: text },
        type: text.slice(0, 60),
        content: { subject: text, html: `<p>${text}</p>`, text },
        metadata: { [`key-${n}`]: text },
        to: "bounced@simulator.test",
      }),
    );
  }
  const page = await signedIn(browser, demo);
  let dialogs = 0;
  page.on("dialog", (dialog) => {
    dialogs += 1;
    dialog.dismiss();
  });
  const clean = async (what) => {
    assert.equal(await page.evaluate(() => window.pwned), undefined, what);
    assert.equal(await page.locator("main img, main script, main svg[onload]").count(), 0, what);
  };
  await page.goto("/");
  await until(async () => (await page.locator("#lines").innerText()).includes(HOSTILE[0]), "the name as text");
  await clean("the report");
  for (const [n, { client, entry }] of entries.entries()) {
    await page.goto(`/entries/${entry}`);
    await page.locator("summary", { hasText: /description|Rename/i }).first().click();
    await page.locator("#description").fill(HOSTILE[n]);
    await page.getByRole("button", { name: "Save the description" }).click();
    await page.locator("p.words").waitFor();
    assert.equal((await page.locator("p.words").innerText()).trim(), HOSTILE[n].trim());
    await page.locator("summary", { hasText: /tags/i }).click();
    await page.locator("#tag-list").fill(HOSTILE[n].replaceAll(",", " ").slice(0, 30));
    await page.getByRole("button", { name: "Save the tags" }).click();
    await page.locator("ul.tags li").first().waitFor();
    await clean(`entry ${n}`);
    await page.goto(`/clients/${client}`);
    await clean(`client ${n}`);
    assert.ok((await page.locator("h1").innerText()).includes(HOSTILE[n].trim().split("\n")[0].slice(0, 10)));
  }
  await page.goto(`/?search=${encodeURIComponent(HOSTILE[2])}`);
  await clean("the search");
  await page.goto(`/clients?q=${encodeURIComponent(HOSTILE[1])}`);
  await clean("the search for clients");
  assert.equal(dialogs, 0);
  // What the browser refused is what the policy is for; nothing else may have gone wrong.
  assert.deepEqual(page.troubles.filter((text) => !/Content Security Policy|Blocked script execution/.test(text)), []);
});

test("forms without the token of the session, or of another site, do nothing", async () => {
  const { entry } = await anEmail(demo);
  const page = await signedIn(browser, demo);
  const send = (form, headers = {}) => page.request.post(`/entries/${entry}/description`, { form, headers, maxRedirects: 0 });
  const none = await send({ description: "taken over", before: "" });
  const wrong = await send({ description: "taken over", before: "", token: "0".repeat(64) });
  await page.goto(`/entries/${entry}`);
  const token = await page.locator('input[name="token"]').first().inputValue();
  const foreign = await send({ description: "taken over", before: "", token }, { origin: "https://evil.example", "sec-fetch-site": "cross-site" });
  for (const refused of [none, wrong, foreign]) assert.equal(refused.status(), 403);
  await page.reload();
  assert.doesNotMatch(await page.locator("main").innerText(), /taken over/);
  calm(page);
});

test("guessing a password is slowed down, and said so in plain words", async () => {
  const page = await signedIn(browser, demo, null);
  let told = "";
  for (let n = 0; n < 12 && !/again|minute|second/i.test(told); n += 1) {
    await page.goto("/sign-in");
    await page.getByLabel("Email").fill("manager@demo.example");
    await page.getByLabel("Password").fill(`guess number ${n}`);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    told = await page.getByRole("alert").innerText();
  }
  assert.match(told, /again|minute|second/i);
  // Even the right one must wait now.
  await page.getByLabel("Email").fill("manager@demo.example");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("alert").waitFor();
});

test("signing out shuts the pages, and going back shows nothing", async () => {
  const page = await signedIn(browser, demo, "staff-advanced@demo.example");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(/sign-in/);
  await page.goto("/");
  assert.match(page.url(), /sign-in/);
});
