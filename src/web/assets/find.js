// Finds clients as one types: asks for those found, in place of the page that the form would show.

import { debounced } from "./live.js";

const TYPING_MS = 120; // a pause between two words, not between two letters
const TIMEOUT_MS = 10_000;

function wire(input) {
  const place = document.getElementById(input.dataset.shows);
  let asked;

  const links = () => [...place.querySelectorAll("a")];

  async function ask() {
    asked?.abort();
    asked = new AbortController();
    const text = input.value.trim();
    if (place.classList.contains("hits") && text === "") {
      place.hidden = true;
      return;
    }
    try {
      const response = await fetch(`/clients/found?q=${encodeURIComponent(text)}`, {
        signal: AbortSignal.any([asked.signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      if (!response.ok) throw new Error(`status ${response.status}`);
      const html = new DOMParser().parseFromString(await response.text(), "text/html");
      place.replaceChildren(...html.getElementById("found").childNodes);
      place.hidden = false;
      // Said by a node that stays: what comes with its text is not announced.
      input.form.querySelector("[role=status]").textContent = place.querySelector(".note").textContent;
      if (!place.classList.contains("hits")) history.replaceState(null, "", `?q=${encodeURIComponent(text)}`);
    } catch (failed) {
      // The next letter asks again, and Enter shows the page.
      if (failed.name !== "AbortError") console.warn("clients cannot be looked for", failed);
    }
  }

  /** Up and down the links; up from the first one back to the field. */
  function move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || place.hidden) return;
    const stops = [input, ...links()];
    const next = stops[stops.indexOf(document.activeElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  input.addEventListener("input", debounced(ask, TYPING_MS));
  input.form.addEventListener("keydown", move);
  place.addEventListener("keydown", move);
  if (!place.classList.contains("hits")) return;
  input.form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || place.hidden) return;
    place.hidden = true;
    input.focus();
  });
  input.form.addEventListener("focusout", (event) => {
    if (!input.form.contains(event.relatedTarget)) place.hidden = true;
  });
}

for (const input of document.querySelectorAll("input[data-shows]")) wire(input);
