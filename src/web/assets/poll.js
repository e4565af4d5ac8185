// Keeps a page that is open current: asks again and again, less often the slower the answers are, and says
// beside the button Pause how current it is.

import { timeOfDay } from "./live.js";

const REST = 5; // times as long as the answer took: what is slow to answer is asked seldom
const BACKOFF_MS_MAX = 30_000; // a server that comes back is noticed within half a minute
const TIMEOUT_MS = 10_000;

/** The answer as a document, with its tag; null: what has this tag is still so. */
export async function fetched(url, tag, signal) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(url, {
    headers: tag ? { "If-None-Match": tag } : {},
    cache: "no-store",
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  });
  if (response.status === 304) return null;
  if (!response.ok) throw new Error(`status ${response.status}`);
  const html = new DOMParser().parseFromString(await response.text(), "text/html");
  return { html, tag: response.headers.get("ETag") ?? "" };
}

/** Calls `ask` every so many milliseconds, after `first` for the first time, until the page is left. */
export function polling(ask, every, first) {
  const state = document.getElementById("state");
  const pause = document.getElementById("pause");
  let wait = every;
  let timer = 0;
  /** What is under way; asking anew ends it. */
  let asked = null;
  let paused = false;
  let current = new Date();

  function say(word, text) {
    state.dataset.is = word;
    if (state.textContent !== text) state.textContent = text;
  }

  async function poll() {
    if (asked || paused || document.hidden) return;
    const mine = new AbortController();
    asked = mine;
    const began = performance.now();
    try {
      await ask(mine.signal);
      current = new Date();
      wait = Math.max(every, REST * (performance.now() - began));
      if (!paused) say("live", "Live");
    } catch {
      if (mine.signal.aborted) return;
      wait = Math.min(wait * 2, BACKOFF_MS_MAX);
      if (!paused) say("lost", `Connection lost: as of ${timeOfDay(current)}, trying again`);
    }
    if (asked !== mine) return;
    asked = null;
    soon(wait);
  }

  function soon(ms) {
    clearTimeout(timer);
    timer = setTimeout(poll, ms);
  }

  function toggle() {
    paused = !paused;
    pause.textContent = paused ? "Resume" : "Pause";
    if (paused) say("paused", `Paused: as of ${timeOfDay(current)}`);
    else soon(0);
  }

  pause.hidden = false;
  pause.addEventListener("click", toggle);
  document.addEventListener("visibilitychange", () => soon(0));
  // The page itself has just been asked for.
  if (first > 0) say("live", "Live");
  soon(first);
  return {
    isPaused: () => paused,
    /** At once, whatever is under way. */
    anew() {
      asked?.abort();
      asked = null;
      if (paused) toggle();
      soon(0);
    },
  };
}
