// Keeps an open console current, part by part. A part in which somebody writes stays as it is.

import { fill, served, timeOfDay } from "./live.js";

const POLL_MS = 5000; // counts are folded as often
const REST = 5; // times as long as the answer took
const BACKOFF_MS_MAX = 30_000;
const TIMEOUT_MS = 10_000;

const parts = document.querySelector("[data-live]");
const state = document.getElementById("state");
const pause = document.getElementById("pause");

/** By part, what the server last said. */
const known = new Map();
let tag = "";
let wait = POLL_MS;
let timer = 0;
let asking = false;
let paused = false;
let current = new Date();

function isWrittenIn(part) {
  const fields = [...part.querySelectorAll("input:not([type=hidden])")];
  return fields.some((field) => field.value !== "" || field === document.activeElement);
}

function show(next) {
  for (const part of parts.querySelectorAll(":scope > .part")) {
    const now = next.getElementById(part.id)?.innerHTML;
    if (now === undefined || now === known.get(part.id) || isWrittenIn(part)) continue;
    const open = [...part.querySelectorAll("details[open]")].map((details) => details.id);
    fill(part, now);
    for (const id of open) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
    known.set(part.id, now);
  }
}

function say(word, text) {
  state.dataset.is = word;
  if (state.textContent !== text) state.textContent = text;
}

async function poll() {
  if (asking || paused || document.hidden) return;
  asking = true;
  const began = performance.now();
  try {
    const response = await fetch(parts.dataset.live, {
      headers: tag ? { "If-None-Match": tag } : {},
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.status !== 304) {
      if (!response.ok) throw new Error(`status ${response.status}`);
      const next = new DOMParser().parseFromString(await response.text(), "text/html");
      if (!next.getElementById("now")) throw new Error("not the answer of the console");
      if (!paused) show(next);
      tag = response.headers.get("ETag") ?? "";
    }
    current = new Date();
    wait = Math.max(POLL_MS, REST * (performance.now() - began));
    if (!paused) say("live", "Live");
  } catch {
    wait = Math.min(wait * 2, BACKOFF_MS_MAX);
    if (!paused) say("lost", `Connection lost: as of ${timeOfDay(current)}, trying again`);
  }
  asking = false;
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

if (parts) {
  for (const part of served.querySelectorAll("[data-live] > .part")) known.set(part.id, part.innerHTML);
  pause.hidden = false;
  pause.addEventListener("click", toggle);
  document.addEventListener("visibilitychange", () => soon(0));
  say("live", "Live");
  soon(POLL_MS);
}
