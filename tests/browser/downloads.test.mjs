// Histories as files, opened by programs that we did not write.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { anEmail, calm, signedIn, staged } from "./demo.mjs";

const PYTHON = process.env.SENDTRAIL_PEERS_PYTHON ?? "python3";
const [demo, browser] = await staged();
const folder = mkdtempSync(join(tmpdir(), "sendtrail-downloads-"));
after(() => rmSync(folder, { recursive: true }));
const names = ["Zoë Ångström", "=HYPERLINK(\"http://example.com\")", "Жанна Ω"];
for (const name of names) await anEmail(demo, { client: { name }, type: "Download me" });

async function take(page, format) {
  await page.goto("/?search=Download+me");
  const path = join(folder, `history.${format}`);
  if (format === "csv") {
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV" }).click()]);
    await file.saveAs(path);
    return path;
  }
  await page.getByRole("button", { name: format === "xlsx" ? "Excel" : "PDF" }).click();
  await page.waitForURL("**/downloads");
  const link = page.locator(".files li", { hasText: format === "xlsx" ? "Excel" : "PDF" }).first().getByRole("link", { name: "Download" });
  await link.waitFor({ timeout: 20_000 });
  const [file] = await Promise.all([page.waitForEvent("download"), link.click()]);
  await file.saveAs(path);
  return path;
}

test("CSV is read by Python, and no cell is a formula", async () => {
  const page = await signedIn(browser, demo);
  const path = await take(page, "csv");
  const script = "import csv,json,sys; print(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='', encoding='utf-8')))))";
  const rows = JSON.parse(execFileSync(PYTHON, ["-c", script, path], { encoding: "utf8" }));
  assert.equal(rows.length, 3);
  assert.deepEqual(rows.map((row) => row.Client).sort(), [...names.map((name) => name.replace(/^=/, "'="))].sort());
  for (const row of rows) {
    assert.equal(row.Type, "Download me");
    assert.ok(!Number.isNaN(Date.parse(row.Date)), row.Date);
  }
  calm(page);
});

test("Excel has real dates and a frozen heading", async () => {
  const page = await signedIn(browser, demo);
  const path = await take(page, "xlsx");
  const script = `
import json, sys, datetime, openpyxl
sheet = openpyxl.load_workbook(sys.argv[1]).active
rows = list(sheet.iter_rows(values_only=True))
print(json.dumps({
    "heading": rows[0], "clients": [row[1] for row in rows[1:]], "frozen": sheet.freeze_panes,
    "dates": all(isinstance(row[0], datetime.datetime) for row in rows[1:]),
    "types": sorted({sheet.cell(row=n, column=2).data_type for n in range(2, len(rows) + 1)}),
}))`;
  const seen = JSON.parse(execFileSync(PYTHON, ["-c", script, path], { encoding: "utf8" }));
  assert.equal(seen.heading[0], "Date (UTC)");
  assert.equal(seen.frozen, "A2");
  assert.equal(seen.dates, true);
  assert.deepEqual(seen.types, ["s"]);
  assert.deepEqual(seen.clients.sort(), [...names].sort());
  calm(page);
});

test("PDF is text that can be searched, with page numbers", async () => {
  const page = await signedIn(browser, demo);
  const path = await take(page, "pdf");
  const text = execFileSync("pdftotext", ["-layout", path, "-"], { encoding: "utf8" });
  for (const name of ["Zoë Ångström", "Жанна Ω", "Download me", "Page 1 of 1", "Contact history"]) {
    assert.ok(text.includes(name), `${name} in\n${text}`);
  }
  calm(page);
});

test("a file is for whoever asked for it alone", async () => {
  const page = await signedIn(browser, demo);
  await take(page, "xlsx");
  const link = await page.locator(".files a").first().getAttribute("href");
  const other = await signedIn(browser, demo, "contact-centre@demo.example");
  const response = await other.request.get(link);
  assert.equal(response.status(), 404);
});
