// Finding a client, entering a contact by hand, and what is to be done about it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { anEmail, calm, signedIn, staged, until } from "./demo.mjs";

const [demo, browser] = await staged();

test("a client is found as one types, by name, phone, email, UID and client id", async () => {
  const { client } = await anEmail(demo, {
    client: { id: "FIND-7731", name: "Wilhelmina Quist", email: "w.quist@example.net", phone: "+351912345678" },
    to: "delivered@simulator.test",
  });
  const page = await signedIn(browser, demo);
  const field = page.locator("header input[name=q]");
  for (const text of ["wilh", "quist", "qui wil", "+351 912 345", "912345", "w.quist@", client.toLowerCase()]) {
    await field.fill("");
    await field.pressSequentially(text, { delay: 15 });
    const hit = page.locator("#hits").getByRole("link", { name: /Wilhelmina Quist/ });
    await hit.waitFor({ timeout: 10_000 });
  }
  await field.fill("nobodyiscalledthis");
  await until(async () => (await page.locator("#hits").getByRole("link", { name: /Wilhelmina/ }).count()) === 0, "nobody found");
  assert.match(await page.locator("#hits").innerText(), /\w/);
  await field.fill("quist");
  await page.locator("#hits").getByRole("link", { name: /Wilhelmina Quist/ }).click();
  await page.waitForURL("**/clients/FIND-7731");
  assert.match(await page.locator("main").innerText(), /w\.quist@example\.net/);
  calm(page);
});

test("a contact is added with a type made on the spot and a follow-up task, which its assignee does", async () => {
  const { client } = await anEmail(demo);
  const page = await signedIn(browser, demo);
  await page.goto(`/clients/${client}`);
  await page.getByRole("link", { name: /Add contact log/i }).click();
  await page.getByLabel("Contact Method").selectOption("In Person");
  await page.getByLabel("Inbound").check();
  await page.getByLabel("Contact Type").fill("Walk-in visit");
  await page.getByLabel("Description").first().fill("Asked about the spring retreat.");
  await page.getByLabel("Create Follow-up Task").check();
  await page.getByLabel("Task Title").fill("Send the brochure");
  await page.getByLabel("Assign To").selectOption({ label: "Tom Becker" });
  const due = new Date(Date.now() - 2 * 86_400_000).toISOString().slice(0, 16);
  await page.getByLabel("Due Date").fill(due);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.waitForURL((url) => !url.pathname.endsWith("/contacts/new"));
  await page.goto(`/clients/${client}`);
  const row = page.locator("#lines > tr", { hasText: "Walk-in visit" });
  await row.waitFor();
  assert.match(await row.innerText(), /In Person/);
  assert.match(await row.innerText(), /Dana Okafor/);
  assert.match(await row.innerText(), /Inbound/);
  assert.equal(await row.locator(".badge").count(), 0);
  // The type is the business's now.
  await page.goto(`/clients/${client}/contacts/new`);
  assert.equal(await page.locator('#contact_types option[value="Walk-in visit"]').count(), 1);
  const tom = await signedIn(browser, demo, "staff-plus@demo.example");
  await tom.goto("/tasks");
  const task = tom.locator("ul.tasks > li", { hasText: "Send the brochure" });
  await task.waitFor();
  await tom.getByRole("heading", { name: /Overdue/i }).waitFor();
  await task.getByRole("button", { name: /Mark as done/ }).click();
  await until(async () => (await tom.locator("ul.tasks > li", { hasText: "Send the brochure" }).count()) === 0, "the task done");
  await tom.getByRole("link", { name: "Done" }).click();
  await tom.locator("ul.tasks > li", { hasText: "Send the brochure" }).waitFor();
  calm(page);
  calm(tom);
});

test("a form with mistakes keeps what was typed and names each", async () => {
  const { client } = await anEmail(demo);
  const page = await signedIn(browser, demo, "admin@demo.example", { javaScriptEnabled: false });
  await page.goto(`/clients/${client}/contacts/new`);
  await page.getByLabel("Description").first().fill("Kept text");
  await page.getByLabel("Contact Type").fill("Visit");
  await page.getByLabel("Date/Time").fill("2089-01-01T10:00");
  await page.getByLabel("Contact Method").selectOption("Phone");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  assert.match(await page.getByRole("alert").innerText(), /Date\/Time/);
  assert.equal(await page.getByLabel("Description").first().inputValue(), "Kept text");
});
