// Keeps an open history current, filters as one types, fetches the next page when its end is near.

import { debounced, fill, localise, served } from "./live.js";
import { fetched, polling } from "./poll.js";

const POLL_MS = 1000;
const FRESH_MS = 2500; // how long a change stays marked
const TYPING_MS = 150;
const COUNT_MS = 30_000; // the counts are for a look now and then
const LATER_EVERY = 5; // of so many polls one asks for a later page that is in view

const table = document.querySelector("table[data-live]");
const lines = document.getElementById("lines");
const pager = document.getElementById("pager");
const counts = document.getElementById("counts");
const form = document.getElementById("filters");

/** An address of ours with what the address of the page asks for. */
function asking(path) {
  const url = new URL(path, location.href);
  for (const [name, value] of new URLSearchParams(location.search)) url.searchParams.append(name, value);
  return url;
}

// ---- Changes --------------------------------------------------------------------------------

/** What the server last said: by row, the HTML of its cells; by part, its HTML. */
const known = new Map();
const PARTS = ["chips", "notes", "headings", "takeaway"];

const cellsOf = (row) => Array.from(row.cells, (cell) => cell.innerHTML);

function mark(element) {
  element.classList.add("fresh");
  setTimeout(() => element.classList.remove("fresh"), FRESH_MS);
}

/** Brings the cells of a row that the page shows already to what the server says now. */
function update(row, next) {
  const before = known.get(row.id) ?? [];
  const now = cellsOf(next);
  for (const [i, html] of now.entries()) {
    if (html === before[i] || !row.cells[i]) continue;
    fill(row.cells[i], html);
    mark(row.cells[i]);
  }
  known.set(row.id, now);
}

/** The first of the pages that were fetched behind the first one. */
const later = () => table.querySelector("tbody.later");

/** A row that newer ones pushed off the first page begins the one behind it, where there is one. */
function leave(row) {
  const focused = row.contains(document.activeElement);
  const place = later();
  if (place && row.id !== "empty") place.prepend(row);
  else {
    row.remove();
    known.delete(row.id);
    if (focused) document.getElementById("main").focus({ preventScroll: true });
  }
}

function showLines(next) {
  const staying = new Set(next.map((row) => row.id));
  for (const row of [...lines.rows].reverse()) if (!staying.has(row.id)) leave(row);
  let place = lines.firstElementChild;
  for (const row of next) {
    const shown = document.getElementById(row.id);
    if (shown) update(shown, row);
    if (shown && shown === place) {
      place = place.nextElementSibling;
      continue;
    }
    const added = shown ?? document.importNode(row, true);
    if (!shown) {
      known.set(row.id, cellsOf(row));
      localise(added);
    }
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

function part(next, id) {
  const now = next.getElementById(id)?.innerHTML;
  if (now === undefined || now === known.get(id)) return;
  fill(document.getElementById(id), now);
  known.set(id, now);
}

function show(next) {
  const body = next.getElementById("lines");
  if (!body) throw new Error("not the answer of /live");
  holdingStill(() => showLines([...body.rows]));
  for (const id of PARTS) part(next, id);
  // Behind later pages the way on is that of the last of them.
  if (!later()) part(next, "pager");
  more();
}

// ---- Later pages ----------------------------------------------------------------------------

/** Whether the end of what is shown is near; set by the browser. */
let near = false;
let fetching = false;
/** A look found nothing: going on costs the server more than it may give, so a person decides. */
let dry = false;

async function more() {
  const link = pager.querySelector("a[rel=next]");
  if (!near || fetching || dry || !link || document.getElementById("empty")) return;
  fetching = true;
  try {
    const live = new URL(table.dataset.live, location.href);
    for (const [name, value] of new URL(link.href).searchParams) live.searchParams.append(name, value);
    const { html } = await fetched(live);
    if (link.isConnected) append(html, live);
  } catch {
    // The link is there, and the next movement tries again.
    near = false;
  }
  fetching = false;
  // What came may be short, and the browser tells of the end only when it moves.
  setTimeout(more, 0);
}

function append(html, live) {
  const rows = [...html.getElementById("lines").rows].filter((row) => row.id !== "empty");
  dry = rows.length === 0;
  const body = document.createElement("tbody");
  body.className = "later";
  body.dataset.live = live;
  for (const row of rows) {
    if (document.getElementById(row.id)) continue;
    known.set(row.id, cellsOf(row));
    body.append(document.importNode(row, true));
  }
  localise(body);
  table.append(body);
  pager.innerHTML = html.getElementById("pager").innerHTML;
  known.delete("pager");
}

/** A later page that is in view: its lines stay as they are, their statuses change. */
async function askLater() {
  const seen = [...table.querySelectorAll("tbody.later")].find((body) => {
    const box = body.getBoundingClientRect();
    return box.bottom > 0 && box.top < window.innerHeight;
  });
  if (!seen) return;
  const { html } = await fetched(seen.dataset.live);
  for (const row of html.getElementById("lines").rows) {
    const shown = document.getElementById(row.id);
    if (shown) update(shown, row);
  }
}

// ---- Polling --------------------------------------------------------------------------------

let tag = "";
let polls = 0;
/** What asks; made where there is a history. */
let poller;

async function ask(signal) {
  const answer = await fetched(asking(table.dataset.live), tag, signal);
  signal.throwIfAborted();
  if (answer) {
    show(answer.html);
    tag = answer.tag;
  }
  polls += 1;
  if (polls % LATER_EVERY === 0) await askLater();
}

// ---- Counts ---------------------------------------------------------------------------------

let counted = 0;

async function count() {
  const mine = ++counted;
  const link = counts.dataset.from ?? counts.querySelector("a").getAttribute("href");
  counts.dataset.from = link;
  const path = new URL(link, location.href);
  const client = path.searchParams.get("client");
  const url = asking(client ? `${path.pathname}?client=${encodeURIComponent(client)}` : path.pathname);
  try {
    const { html } = await fetched(url);
    if (mine === counted) fill(counts, html.getElementById("counts").innerHTML);
  } catch {
    // Those shown stay; the next time comes.
  }
}

// ---- Filters --------------------------------------------------------------------------------

/** What the form asks for, without what it leaves open. */
function wanted() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value.trim() !== "") query.append(name, value);
  return query.toString();
}

/** Shows what the form asks for, in this page. */
function filter() {
  const query = wanted();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
  for (const body of table.querySelectorAll("tbody.later")) body.remove();
  pager.replaceChildren();
  known.delete("pager");
  dry = false;
  tag = "";
  const back = document.querySelector(".chooser input[name=back]");
  if (back) back.value = location.pathname + location.search;
  poller.anew();
  count();
}

// ---- Start ----------------------------------------------------------------------------------

if (table) {
  for (const row of served.querySelectorAll("#lines > tr")) known.set(row.id, cellsOf(row));
  for (const id of [...PARTS, "pager"]) known.set(id, served.querySelector(`#${id}`).innerHTML);
  form.addEventListener("input", debounced(filter, TYPING_MS));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    filter();
  });
  const watch = new IntersectionObserver(
    ([end]) => {
      near = end.isIntersecting;
      more();
    },
    { rootMargin: "800px" },
  );
  watch.observe(pager);
  poller = polling(ask, POLL_MS, 0);
  setInterval(() => document.hidden || poller.isPaused() || count(), COUNT_MS);
  requestAnimationFrame(() => setTimeout(count, 0));
}
