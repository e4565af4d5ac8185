// Keeps the progress of a run current. Without it the page is reloaded every few seconds.

const POLL_MS = 1000;
const BACKOFF_MS_MAX = 30_000; // a server that comes back is noticed within half a minute
const TIMEOUT_MS = 10_000;

let wait = POLL_MS;

async function look() {
  const response = await fetch(location.pathname, {
    cache: "no-store",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`status ${response.status}`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const next = page.getElementById("run");
  if (!next) throw new Error("not the page of a run");
  const shown = document.getElementById("run");
  const focused = shown.contains(document.activeElement);
  const both = (selector) => [shown.querySelector(selector), next.querySelector(selector)];
  const [words, wordsNow] = both("[role=status]");
  // What did not change is not read out again.
  if (words.textContent !== wordsNow.textContent) words.textContent = wordsNow.textContent;
  const [bar, barNow] = both("progress");
  [bar.max, bar.value] = [barNow.max, barNow.value];
  const [counts, countsNow] = both("dl");
  counts.replaceWith(countsNow);
  if (!next.querySelector("form")) {
    shown.querySelector("form")?.remove();
    if (focused) document.getElementById("main").focus({ preventScroll: true });
  }
  document.title = page.title;
  return next.dataset.open === "true";
}

async function poll() {
  let open = true;
  try {
    open = document.hidden || (await look());
    wait = POLL_MS;
  } catch {
    wait = Math.min(wait * 2, BACKOFF_MS_MAX);
  }
  if (open) setTimeout(poll, wait);
}

setTimeout(poll, wait);
