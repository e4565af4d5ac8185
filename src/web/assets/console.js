// Keeps an open console current, part by part. A part in which somebody writes stays as it is.

import { fill, served } from "./live.js";
import { fetched, polling } from "./poll.js";

const POLL_MS = 5000; // counts are folded as often

const parts = document.querySelector("[data-live]");

/** By part, what the server last said. */
const known = new Map();
let tag = "";

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

if (parts) {
  for (const part of served.querySelectorAll("[data-live] > .part")) known.set(part.id, part.innerHTML);
  const poller = polling(
    async (signal) => {
      const answer = await fetched(parts.dataset.live, tag, signal);
      // What came while somebody paused is asked for again.
      if (!answer || poller.isPaused()) return;
      if (!answer.html.getElementById("now")) throw new Error("not the answer of the console");
      show(answer.html);
      tag = answer.tag;
    },
    POLL_MS,
    POLL_MS,
  );
}
