// Pictures of the pages: `node tests/browser/screenshots.mjs FOLDER`. The two of the README are made
// so: `history.png` and `entry.png`.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { anEmail, signedIn, startBrowser, startDemo, until } from "./demo.mjs";

const folder = process.argv[2] ?? "target/screenshots";
mkdirSync(folder, { recursive: true });
const [demo, browser] = await Promise.all([startDemo(), startBrowser()]);
try {
  const { client, entry } = await anEmail(demo, {
    client: { id: "C-2001", name: "Tess Lindgren", email: "tess@example.com", phone: "+351912345678" },
    to: "opened-then-bounced@simulator.test",
  });
  await until(async () => (await demo.get(`/v1/notifications/${entry}`)).statuses.length === 2, "both statuses");
  const places = {
    history: "/",
    client: `/clients/${client}`,
    find: "/clients?q=a",
    contact: `/clients/${client}/contacts/new`,
    entry: `/entries/${entry}`,
    resend: `/entries/${entry}/resend`,
    many: "/resend?status=Bounced",
    tasks: "/tasks",
    downloads: "/downloads",
    failures: "/failures",
    console: "/console",
    erase: `/clients/${client}/erase`,
    reference: "/docs/api",
    staff: "/staff",
    account: "/account",
  };
  const ways = [
    ["", { colorScheme: "light", viewport: { width: 1280, height: 860 } }],
    ["-dark", { colorScheme: "dark", viewport: { width: 1280, height: 860 } }],
    ["-phone", { colorScheme: "light", viewport: { width: 390, height: 844 } }],
  ];
  for (const [end, options] of ways) {
    const page = await signedIn(browser, demo, "admin@demo.example", { ...options, deviceScaleFactor: 1 });
    for (const [name, place] of Object.entries(places)) {
      await page.goto(place);
      await page.waitForTimeout(700);
      await page.screenshot({ path: join(folder, `${name}${end}.png`) });
    }
    await page.context().close();
    const stranger = await signedIn(browser, demo, null, options);
    await stranger.goto("/sign-in");
    await stranger.screenshot({ path: join(folder, `sign-in${end}.png`) });
    await stranger.context().close();
  }
} finally {
  await browser.close();
  await demo.stop();
}
