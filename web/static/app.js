// What pages do beyond HTML and htmx: theme switch, dialogs, the log that follows, links to wrong fields.
"use strict";

const THEMES = ["system", "light", "dark"];

function setUpTheme() {
  const button = document.getElementById("theme");
  if (!button) return;
  button.hidden = false;
  const show = () => {
    const current = document.documentElement.dataset.theme || "system";
    button.setAttribute("aria-label", button.dataset[current]);
    button.title = button.dataset[current];
  };
  button.addEventListener("click", () => {
    const current = document.documentElement.dataset.theme || "system";
    const next = THEMES[(THEMES.indexOf(current) + 1) % THEMES.length];
    if (next === "system") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("jobwright-theme");
    } else {
      document.documentElement.dataset.theme = next;
      localStorage.setItem("jobwright-theme", next);
    }
    show();
  });
  show();
}

// Lists of jobs and executions: how many are chosen, and choosing all of a page.
const PICKS = ".pick input:not([data-pick-all])";

function countPicked() {
  const table = document.querySelector("[data-rows]");
  if (!table) return;
  const boxes = [...table.querySelectorAll(PICKS)];
  const picked = boxes.filter((box) => box.checked).length;
  const words = document.querySelector("[data-picked]");
  if (words) words.textContent = words.dataset.picked.replace("#", picked);
  const all = table.querySelector("[data-pick-all]");
  if (all) {
    all.checked = picked > 0 && picked === boxes.length;
    all.indeterminate = picked > 0 && picked < boxes.length;
  }
}

function onChange(event) {
  if (event.target.matches("[data-pick-all]")) {
    for (const box of event.target.closest("table").querySelectorAll(PICKS)) box.checked = event.target.checked;
  }
  if (event.target.matches(`[data-pick-all], ${PICKS}`)) countPicked();
}

// Copies what an element shows. Without TLS a browser may refuse the clipboard: then the text is selected and copied the older way.
async function copyText(button) {
  const source = document.getElementById(button.dataset.copy);
  const text = [...source.querySelectorAll("code")].map((code) => code.textContent.trim()).join("\n") || source.textContent.trim();
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    getSelection().selectAllChildren(source);
    document.execCommand("copy");
  }
  const label = button.querySelector("span");
  const before = label.textContent;
  label.textContent = button.dataset.copied;
  setTimeout(() => (label.textContent = before), 2000);
}

function reveal(button) {
  const field = document.getElementById(button.dataset.reveal);
  const shown = field.type === "password";
  field.type = shown ? "text" : "password";
  button.setAttribute("aria-pressed", String(shown));
  field.focus();
}

function onClick(event) {
  const copy = event.target.closest("[data-copy]");
  if (copy) copyText(copy);
  const show = event.target.closest("[data-reveal]");
  if (show) reveal(show);
  event.target.closest("[data-dismiss]")?.closest(".toast").remove();
  const open = event.target.closest("[data-open]");
  if (open) {
    open.closest("details")?.removeAttribute("open");
    document.getElementById(open.dataset.open).showModal();
  }
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.removeAttribute("open");
  }
}

// The log follows its end unless one scrolls up; a page holds so many lines, and older ones leave it at the top.
const MOST_LINES = 5000;

function setUpLog() {
  const log = document.getElementById("log");
  const follow = document.getElementById("follow");
  if (!log || !follow || log.dataset.ready) return;
  log.dataset.ready = "";
  const toEnd = () => {
    if (!follow.checked) return;
    while (log.children.length > MOST_LINES) log.firstElementChild.remove();
    log.scrollTop = log.scrollHeight;
  };
  log.addEventListener("scroll", () => {
    follow.checked = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  });
  follow.onchange = toEnd;
  new MutationObserver(toEnd).observe(log, { childList: true });
  const asked = location.hash.startsWith("#L") ? document.getElementById(location.hash.slice(1)) : null;
  const failing = log.querySelector(".failing");
  if (asked) asked.scrollIntoView({ block: "center" });
  else if (failing) log.scrollTop = failing.offsetTop - log.offsetTop - log.clientHeight / 2; // the page stays with its error on top
  else toEnd();
}

// The page of an execution asks for its state and, if the log shows its end, for newer lines. When these come, somebody may have searched
// the log or gone elsewhere in it: then the lines belong to no place in it, and only the state is shown.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target.id !== "summary") return;
  const place = document.querySelector("#log-place [name=after]");
  if (event.detail.requestConfig.parameters.after === place?.value) return;
  const answer = document.createElement("template");
  answer.innerHTML = event.detail.serverResponse;
  for (const part of answer.content.querySelectorAll("[hx-swap-oob='beforeend:#log'], #log-place")) part.remove();
  event.detail.serverResponse = answer.innerHTML;
});

// The address of a list says what narrows it, and nothing of what does not.
document.addEventListener("htmx:configRequest", (event) => {
  if (event.target.id !== "filters") return;
  const { parameters } = event.detail;
  for (const name of Object.keys(parameters)) if (!parameters[name]) delete parameters[name];
});

// The dashboard and the nodes refresh themselves, but not while somebody has a menu open, and a table that is open stays open.
let openedTables = [];
document.addEventListener("htmx:beforeRequest", (event) => {
  if (["dashboard", "nodes"].includes(event.target.id) && event.target.querySelector("details.menu[open]")) event.preventDefault();
});
document.addEventListener("htmx:beforeSwap", (event) => {
  if (!["dashboard", "nodes"].includes(event.target.id)) return;
  openedTables = [...event.target.querySelectorAll("details.more[open]")].map((details) => details.id);
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of openedTables) document.getElementById(id)?.setAttribute("open", "");
  openedTables = [];
});

document.addEventListener("DOMContentLoaded", () => {
  setUpTheme();
  setUpLog();
  document.getElementById("form-errors")?.focus();
});
// What is larger than a request may be is told before it is sent: the server does not read it, so it could not give it back.
function sizeOf(form, submitter) {
  const fields = [...new FormData(form, submitter)];
  const files = fields.reduce((sum, [, value]) => sum + (value instanceof File ? value.size : 0), 0);
  const texts = fields.filter(([, value]) => typeof value === "string");
  const encoded = form.enctype === "multipart/form-data" ? texts.flat().join("") : new URLSearchParams(texts).toString();
  return files + new Blob([encoded]).size;
}

function onSubmit(event) {
  const form = event.target;
  document.getElementById("too-large")?.remove();
  if (form.method !== "post" || sizeOf(form, event.submitter) <= Number(document.body.dataset.mostBytes)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const notice = document.createElement("div");
  notice.id = "too-large";
  notice.className = "notice notice-wrong";
  notice.setAttribute("role", "alert");
  notice.textContent = document.body.dataset.tooLarge;
  form.prepend(notice);
  notice.scrollIntoView({ block: "center" });
}

document.addEventListener("submit", onSubmit, true);
document.addEventListener("click", onClick);
document.addEventListener("change", onChange);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelectorAll("details.menu[open]").forEach((menu) => menu.removeAttribute("open"));
});
document.addEventListener("htmx:afterSwap", () => {
  countPicked();
  setUpLog();
});
