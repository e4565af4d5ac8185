// The reference of the API: readable by everybody, on every screen, without signing in.

import assert from "node:assert/strict";
import { test } from "node:test";

import { accessible, calm, signedIn, staged } from "./demo.mjs";

const [demo, browser] = await staged();

test("the reference is accessible, fits a phone, and its links lead somewhere", async () => {
  for (const [colorScheme, width] of [["light", 1280], ["dark", 390]]) {
    const page = await signedIn(browser, demo, null, { colorScheme, viewport: { width, height: 800 } });
    for (const path of ["/docs/api", "/docs/api/notifications"]) {
      await page.goto(path);
      const what = `${path}, ${colorScheme}, ${width}`;
      await accessible(page, what);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wide <= 0, `${what}: ${wide} pixels too wide`);
    }
    // By keyboard: from the list to the operation.
    await page.getByRole("navigation", { name: "Operations on this page" }).getByRole("link").first().press("Enter");
    assert.equal(new URL(page.url()).hash, "#post-notifications");
    calm(page);
    await page.context().close();
  }
});
