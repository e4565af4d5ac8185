// Keeps an open page current: fetches /live, puts what changed in its place, shows times in the
// viewer's zone. Without it the page works the same, only later and in UTC.

const POLL_MS = 1000;
const BACKOFF_MS_MAX = 30_000; // a server that comes back is noticed within half a minute
const TIMEOUT_MS = 10_000;
const FRESH_MS = 2500; // how long a change stays marked

const page = document.documentElement;
const state = document.getElementById("state");
const pause = document.getElementById("pause");
const lines = document.getElementById("lines");

// ---- Times ----------------------------------------------------------------------------------

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** Shows the times in the viewer's zone. */
function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    const span = document.createElement("span");
    span.textContent = clock.format(at);
    time.replaceChildren(`${day.format(at)} `, span);
  }
  // The reason stands in the element as well and shows at once; a second one would cover it.
  for (const badge of root.querySelectorAll(".badge[title]")) badge.removeAttribute("title");
}

// ---- Changes --------------------------------------------------------------------------------

/** What the server last said: by row, the HTML of its cells; by part, its HTML. */
const known = new Map();

const cellsOf = (row) => Array.from(row.cells, (cell) => cell.innerHTML);

function remember(root) {
  for (const row of root.querySelectorAll("#lines > tr")) known.set(row.id, cellsOf(row));
  for (const id of ["tally", "pager"]) known.set(id, root.querySelector(`#${id}`).innerHTML);
}

function mark(element) {
  element.classList.add("fresh");
  setTimeout(() => element.classList.remove("fresh"), FRESH_MS);
}

/** Replaces the content of an element; what had the focus in it, by its position, has it again. */
function fill(element, html) {
  const stops = () => [...element.querySelectorAll("a, button, [tabindex]")];
  const focused = stops().indexOf(document.activeElement);
  element.innerHTML = html;
  localise(element);
  if (focused >= 0) stops().at(Math.min(focused, stops().length - 1))?.focus({ preventScroll: true });
}

/** Brings the cells of a row that the page shows already to what the server says now. */
function update(row, next) {
  const before = known.get(row.id);
  const now = cellsOf(next);
  for (const [i, html] of now.entries()) {
    if (html === before[i]) continue;
    fill(row.cells[i], html);
    mark(row.cells[i]);
  }
}

function showLines(next) {
  const staying = new Set(Array.from(next, (row) => row.id));
  for (const row of [...lines.rows]) {
    if (staying.has(row.id)) continue;
    const focused = row.contains(document.activeElement);
    row.remove();
    if (focused) document.getElementById("main").focus({ preventScroll: true });
  }
  let place = lines.firstElementChild;
  for (const row of next) {
    const shown = document.getElementById(row.id);
    if (shown) update(shown, row);
    if (shown && shown === place) {
      place = place.nextElementSibling;
      continue;
    }
    const added = shown ?? document.importNode(row, true);
    if (!shown) localise(added);
    lines.insertBefore(added, place);
    if (!shown) mark(added);
  }
}

/** Keeps the line at the top of the window where it is, in browsers that do not by themselves. */
function holdingStill(change) {
  const anchored = CSS.supports("overflow-anchor", "auto") || window.scrollY === 0;
  const anchor = anchored ? null : [...lines.rows].find((r) => r.getBoundingClientRect().top >= 0);
  const before = anchor?.getBoundingClientRect().top;
  change();
  if (anchor?.isConnected) window.scrollBy(0, anchor.getBoundingClientRect().top - before);
}

function show(html) {
  const next = new DOMParser().parseFromString(html, "text/html");
  const rows = next.getElementById("lines")?.rows;
  if (!rows) throw new Error("not the answer of /live");
  holdingStill(() => showLines(rows));
  for (const id of ["tally", "pager"]) {
    const now = next.getElementById(id).innerHTML;
    if (now !== known.get(id)) fill(document.getElementById(id), now);
  }
  known.clear();
  remember(next);
}

// ---- Polling --------------------------------------------------------------------------------

let tag = "";
let wait = POLL_MS;
let timer = 0;
let asking = false;
let paused = false;
let current = new Date();

function say(word, text) {
  state.dataset.is = word;
  if (state.textContent !== text) state.textContent = text;
}

async function ask() {
  const response = await fetch(`/live${location.search}`, {
    headers: tag ? { "If-None-Match": tag } : {},
    cache: "no-store",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.status === 304) return;
  if (!response.ok) throw new Error(`status ${response.status}`);
  show(await response.text());
  tag = response.headers.get("ETag") ?? "";
}

async function poll() {
  if (asking || paused || document.hidden) return;
  asking = true;
  try {
    await ask();
    current = new Date();
    wait = POLL_MS;
    if (!paused) say("live", "Live");
  } catch {
    wait = Math.min(wait * 2, BACKOFF_MS_MAX);
    if (!paused) say("lost", `Connection lost: as of ${clock.format(current)}, trying again`);
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
  if (paused) say("paused", `Paused: as of ${clock.format(current)}`);
  else soon(0);
}

// ---- Start ----------------------------------------------------------------------------------

if (lines) remember(document);
page.classList.add("js");
localise(document);
const zone = document.getElementById("zone");
if (zone) zone.textContent = `your time zone (${Intl.DateTimeFormat().resolvedOptions().timeZone})`;

// A reason can be put away without moving the pointer or the focus (WCAG 1.4.13).
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") page.classList.add("hush");
});
for (const type of ["pointerover", "focusin"]) {
  document.addEventListener(type, (event) => {
    if (event.target.closest(".badge")) page.classList.remove("hush");
  });
}

if (lines) {
  pause.hidden = false;
  pause.addEventListener("click", toggle);
  document.addEventListener("visibilitychange", () => soon(0));
  poll();
}
