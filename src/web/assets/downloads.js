// Keeps the list of downloads current while a file is being made.

import { localise } from "./live.js";

const POLL_MS = 1000;
const TIMEOUT_MS = 10_000;

async function look() {
  const shown = document.getElementById("downloads");
  if (!shown?.hasAttribute("data-busy")) return;
  try {
    const response = await fetch("/downloads/live", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.ok) {
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const next = page.getElementById("downloads");
      if (next) {
        shown.replaceWith(document.importNode(next, true));
        localise(document.getElementById("downloads"));
      }
    }
  } catch {
    // Asked again below.
  }
  setTimeout(look, POLL_MS);
}

setTimeout(look, POLL_MS);
