// The reference of the API: readable by everybody, on every screen, without signing in.

import assert from "node:assert/strict";
import { test } from "node:test";

import { accessible, calm, signedIn, staged } from "./demo.mjs";

const [demo, browser] = await staged();

test("the reference is accessible, fits a phone, and its links lead somewhere", async () => {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 390]) {
      const options = { colorScheme, viewport: { width, height: 800 } };
      const page = await signedIn(browser, demo, null, options);
      for (const path of ["/docs/api", "/docs/api/notifications"]) {
        await page.goto(path);
        const what = `${path}, ${colorScheme}, ${width}`;
        await accessible(page, what);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(wide <= 0, `${what}: ${wide} pixels too wide`);
      }
      // By keyboard: the first operation of the list, and its heading has the focus.
      await page.getByRole("navigation", { name: "Operations on this page" }).getByRole("link").first().press("Enter");
      assert.equal(new URL(page.url()).hash, "#post-notifications");
      calm(page);
      await page.context().close();
    }
  }
});
