// Keys: the palette (Ctrl+K), rows (j, k, x), pages (g and a letter), and whatever a page marks with data-key.
"use strict";

const PLACES = { d: "/", j: "/jobs", e: "/executions", c: "/calendar", t: "/templates", a: "/approvals" };
const CHORD_MS = 2500; // also for people who press keys slowly
let begunAt = -Infinity;

const keysOn = () => localStorage.getItem("jobwright-keys") !== "off";
const inField = (target) => target.closest("input:not([type=checkbox]), select, textarea, [contenteditable]");

function openPalette() {
  const palette = document.getElementById("palette");
  if (!palette || palette.open) return;
  palette.showModal();
  const field = document.getElementById("palette-q");
  field.value = "";
  htmx.trigger(field, "palette");
}

// Opens the chosen line; a line that does something at once is posted, with the token that every form has.
function take(line) {
  if (!("posts" in line.dataset)) {
    location.href = line.dataset.href;
    return;
  }
  const form = document.createElement("form");
  form.method = "post";
  form.action = line.dataset.href;
  const token = document.createElement("input");
  token.type = "hidden";
  token.name = "csrf_token";
  token.value = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
  form.append(token);
  document.body.append(form);
  form.submit();
}

function options() {
  return [...document.querySelectorAll("#palette-list [role=option]:not([aria-disabled])")];
}

function select(place) {
  const found = options();
  found.forEach((one, index) => one.setAttribute("aria-selected", String(index === place)));
  found[place]?.scrollIntoView({ block: "nearest" });
  const field = document.getElementById("palette-q");
  if (found[place]) field.setAttribute("aria-activedescendant", found[place].id);
  else field.removeAttribute("aria-activedescendant");
}

function onPaletteKey(event) {
  const found = options();
  const at = found.findIndex((one) => one.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const step = event.key === "ArrowDown" ? 1 : -1;
    select((at + step + found.length) % found.length);
  } else if (event.key === "Enter") {
    event.preventDefault();
    const chosen = found[at] || found[0];
    if (chosen) take(chosen);
  }
}

// The rows of the page's first table, each by the link that opens it.
function moveRow(step) {
  const links = [...document.querySelectorAll("main .table tbody tr")].map((row) => row.querySelector(".name a, a")).filter(Boolean);
  if (!links.length) return;
  const at = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
  const next = links[at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step))];
  next.focus();
  next.closest("tr").scrollIntoView({ block: "nearest" });
}

function press(key) {
  const marked = [...document.querySelectorAll(`main [data-key="${CSS.escape(key)}"], .topbar [data-key="${CSS.escape(key)}"]`)];
  const found = marked.find((one) => one.closest("main")) || marked[0];
  if (!found) return false;
  if (found.matches("input")) found.focus();
  else found.click();
  return true;
}

function onKey(event) {
  if (event.target.closest?.("#palette")) {
    onPaletteKey(event);
    return;
  }
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || !keysOn() || inField(event.target) || event.target.closest("dialog")) return;
  if (event.timeStamp - begunAt < CHORD_MS && PLACES[event.key]) {
    begunAt = -Infinity;
    location.href = PLACES[event.key];
    return;
  }
  begunAt = event.key === "g" ? event.timeStamp : -Infinity;
  if (event.key === "?") document.getElementById("keys")?.showModal();
  else if (event.key === "j" || event.key === "k") moveRow(event.key === "j" ? 1 : -1);
  else if (event.key === "x") document.activeElement.closest("tr")?.querySelector(".pick input")?.click();
  else if (!press(event.key)) return;
  event.preventDefault();
}

document.addEventListener("keydown", onKey);
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-palette]")) openPalette();
  const chosen = event.target.closest("#palette-list [data-href]");
  if (chosen) take(chosen);
  if (event.target.matches("dialog.palette")) event.target.close(); // the backdrop
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target.id === "palette-list") select(0);
});
document.addEventListener("DOMContentLoaded", () => {
  const box = document.getElementById("keys-on");
  if (!box) return;
  box.checked = keysOn();
  box.addEventListener("change", () => localStorage.setItem("jobwright-keys", box.checked ? "on" : "off"));
});
