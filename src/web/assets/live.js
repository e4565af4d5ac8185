// What every page has of script: times in the viewer's zone, numbers as the viewer writes them, reasons
// that can be put away, menus that close. Without it the pages work the same, in UTC.

const page = document.documentElement;

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const number = new Intl.NumberFormat();

/** The time of day of an instant, as the viewer writes it. */
export const timeOfDay = (at) => clock.format(at);

/** Shows the times and numbers under `root` as the viewer writes them. */
export function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    const span = document.createElement("span");
    span.textContent = clock.format(at);
    time.replaceChildren(`${day.format(at)} `, span);
  }
  for (const data of root.querySelectorAll("data[value]")) {
    data.textContent = number.format(Number(data.value));
  }
  // The reason stands in the element as well and shows at once; a second one would cover it.
  for (const badge of root.querySelectorAll(".badge[title]:has(.tip)")) badge.removeAttribute("title");
}

/** Replaces the content of an element; what had the focus in it, by its position, has it again. */
export function fill(element, html) {
  const stops = () => [...element.querySelectorAll("a, button, summary, [tabindex]")];
  const focused = stops().indexOf(document.activeElement);
  element.innerHTML = html;
  localise(element);
  if (focused >= 0) stops().at(Math.min(focused, stops().length - 1))?.focus({ preventScroll: true });
}

/** Calls `action` once nothing has asked for it for `ms`. */
export function debounced(action, ms) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, ms);
  };
}

/** The page as the server wrote it, for comparison with what it says later. */
export const served = document.getElementById("main").cloneNode(true);

page.classList.add("js");
localise(document);
const zone = document.getElementById("zone");
if (zone) zone.textContent = `your time zone (${Intl.DateTimeFormat().resolvedOptions().timeZone})`;

function closeMenus(but) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== but) menu.open = false;
  }
}

// A reason can be put away without moving the pointer or the focus (WCAG 1.4.13).
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  page.classList.add("hush");
  const menu = event.target.closest?.("details.menu[open]");
  closeMenus();
  menu?.querySelector("summary").focus();
});
for (const type of ["pointerover", "focusin"]) {
  document.addEventListener(type, (event) => {
    if (event.target.closest(".badge")) page.classList.remove("hush");
  });
}
document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
