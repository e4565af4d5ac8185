// What can be judged of looks by a program: WCAG 2.2 AA, weight, speed, in light and dark, wide and on
// a phone.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, anEmail, calm, signedIn, staged, until } from "./demo.mjs";

/** Of a page's HTML. */
const PAGE_BYTES_MAX = 100 * 1024;
/** From its answer until it can be used, on the machine that also runs program and browser. */
const READY_MS_MAX = 200;
const PHONE = { width: 390, height: 844 };

const [demo, browser] = await staged();
const { client, entry } = await anEmail(demo, { to: "opened-then-bounced@simulator.test" });
await until(async () => (await demo.get(`/v1/notifications/${entry}`)).statuses.length === 2, "both statuses");
const { groups: [cause] } = await demo.get("/v1/failures");
const places = ["/", "/?status=Bounced&search=nothing+like+this", `/clients/${client}`, "/clients?q=tess", `/clients/${client}/contacts/new`,
  `/entries/${entry}`, `/entries/${entry}?show=headers`, `/entries/${entry}/resend`, "/resend?method=email", "/tasks", "/downloads", "/console?range=7d",
  "/failures", `/failures/${cause.id}`, "/staff", "/account", "/docs/api"];

for (const colorScheme of ["light", "dark"]) {
  for (const viewport of [{ width: 1280, height: 900 }, PHONE]) {
    test(`every page is accessible: ${colorScheme}, ${viewport.width} wide`, async () => {
      const page = await signedIn(browser, demo, "admin@demo.example", { colorScheme, viewport });
      for (const place of places) {
        await page.goto(place);
        await accessible(page, `${place} (${colorScheme}, ${viewport.width})`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(wide <= 0, `${place} is ${wide} pixels wider than ${viewport.width}`);
      }
      const stranger = await signedIn(browser, demo, null, { colorScheme, viewport });
      await stranger.goto("/sign-in");
      await accessible(stranger, "sign-in");
      calm(page);
    });
  }
}

test("the head of a page is one line where a screen is 1280 wide", async () => {
  const page = await signedIn(browser, demo, "admin@demo.example", { viewport: { width: 1280, height: 900 } });
  for (const place of ["/", "/tasks", "/console", "/clients?q=tess"]) {
    await page.goto(place);
    const below = await page.evaluate(() => {
      const [brand, out] = [".top .brand", ".who button"].map((it) => document.querySelector(it).getBoundingClientRect());
      return out.top - brand.bottom;
    });
    assert.ok(below < 0, `${place}: "Sign out" is ${below} pixels below the name of the program`);
  }
});

test("every page is light and ready at once", async () => {
  const page = await signedIn(browser, demo);
  for (const place of places) {
    const response = await page.goto(place);
    const bytes = (await response.body()).length;
    assert.ok(bytes < PAGE_BYTES_MAX, `${place}: ${bytes} bytes`);
    const took = [];
    // The best of some: other work of the machine is not the page's.
    for (let n = 0; n < 12 && !took.some((ms) => ms < READY_MS_MAX); n += 1) {
      await page.goto(place);
      took.push(await page.evaluate(() => {
        const [load] = performance.getEntriesByType("navigation");
        return load.domContentLoadedEventEnd - load.responseEnd;
      }));
    }
    assert.ok(Math.min(...took) < READY_MS_MAX, `${place}: ready after ${took.join(", ")} ms`);
  }
});
