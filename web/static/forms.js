// What forms do beyond HTML: redraw when their shape changes, tell what is wrong as one leaves a field, search in long lists.
// Without it every form works: buttons post, and the page comes back.
"use strict";

// -- schedule: a preset fills the expression or rule, from which the rest follows ----------------------------------------------

document.addEventListener("click", (event) => {
  const preset = event.target.closest("[data-preset-of]");
  if (!preset) return;
  event.preventDefault();
  const field = document.getElementById(preset.dataset.presetOf);
  field.value = preset.value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
});

// -- dates and times: a shortcut fills in its fields --------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const shortcut = event.target.closest("[data-fills]");
  if (!shortcut) return;
  event.preventDefault();
  for (const [name, value] of new URLSearchParams(shortcut.value)) {
    const field = shortcut.form.elements.namedItem(name);
    field.value = value;
    field.dispatchEvent(new Event("change", { bubbles: true }));
  }
});

// -- a new form begins at its first field ------------------------------------------------------------------------------

document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("form[data-begin-at]");
  if (!form || location.hash || document.getElementById("form-errors")) return;
  document.getElementById(form.dataset.beginAt)?.focus({ preventScroll: true });
});

// -- draft: a new form that is left is kept, without its secrets ---------------------------------------------------------

let typed = false;
let leaving = false;

document.addEventListener("input", (event) => {
  if (event.target.closest("[data-draft]")) typed = true;
});
document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-draft]") && !event.defaultPrevented && !event.submitter?.dataset.answer) leaving = true;
});

function keepDraft() {
  const form = document.querySelector("form[data-draft]");
  if (!form || !typed || leaving) return;
  const fields = new FormData(form);
  for (const secret of form.querySelectorAll("input[type=password][name]")) fields.delete(secret.name);
  fetch(form.dataset.draft, { method: "POST", body: new URLSearchParams(fields), keepalive: true });
  typed = false;
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") keepDraft();
});
window.addEventListener("pagehide", keepDraft);
setInterval(keepDraft, 10_000);

// -- shape: a branch, a type, a switch; the form comes back drawn anew, focus and scroll stay --------------------------

function prefixOf(control) {
  return (control.name || control.closest("[name]")?.name || "").split(".")[0];
}

// What is done while the server draws is not lost, nor is a secret, which the server never sends back: both go into the new form.
function contents(form) {
  const found = new Map();
  for (const one of form.querySelectorAll("input[name]:not([type=hidden]), select[name], textarea[name]")) {
    const toggle = one.type === "checkbox" || one.type === "radio";
    found.set(`${one.name}\n${toggle ? one.value : ""}`, { one, now: toggle ? one.checked : one.value, toggle });
  }
  return found;
}

function changedSince(before, form) {
  return [...contents(form)].filter(([key, { now }]) => before.has(key) && before.get(key).now !== now);
}

function secretsOf(form) {
  return [...contents(form)].filter(([, { one, now }]) => one.type === "password" && now);
}

function fillIn(form, changes) {
  const fresh = contents(form);
  const filled = [];
  for (const [key, { one, now, toggle }] of changes) {
    const field = fresh.get(key)?.one;
    if (!field) continue;
    field[toggle ? "checked" : "value"] = now;
    filled.push(field);
    if (one.type === "password") document.getElementById(`${one.name}-messages`)?.replaceChildren();
  }
  return filled;
}

// Browsers anchor their scrolling to what a swap takes away: the page stays where it was, unless the form has errors to tell.
function stay(top) {
  const errors = document.getElementById("form-errors");
  if (errors) errors.focus();
  else window.scrollTo(0, top);
}

document.addEventListener("htmx:beforeSwap", (event) => {
  if (!event.detail.shouldSwap || !event.detail.target.matches("form")) return;
  const top = window.scrollY;
  document.addEventListener("htmx:afterSwap", () => stay(top), { once: true }); // htmx swaps in the same breath
});

// A press that begins on a control and ends on its successor is no click: the new form waits until nothing is held down.
async function handsOff(form) {
  while (form.querySelector(":active")) await new Promise((resolve) => setTimeout(resolve, 20));
}

// One after the other: who presses twice means both.
let queue = Promise.resolve();

function draw(id, name, action) {
  document.getElementById(id).setAttribute("aria-busy", "true");
  queue = queue.then(() => drawNow(document.getElementById(id), name, action)).catch(() => {});
}

async function drawNow(form, name, action) {
  if (!form) return;
  const before = contents(form);
  form.setAttribute("aria-busy", "true");
  const page = await drawn(form, name, action);
  await handsOff(form);
  form.removeAttribute("aria-busy");
  if (page === null || !form.isConnected) return;
  if (!parsed(page).getElementById(form.id)) {
    sayRefused(form, parsed(page));
    return;
  }
  swapIn(form, page, before, name, action);
}

// What the server drew takes the place of the form; what was typed since `before`, and secrets, go into it.
function swapIn(form, page, before, name, action) {
  const changes = changedSince(before, form);
  const secrets = secretsOf(form);
  const top = window.scrollY;
  const focused = document.activeElement; // the person may have moved to another button while the server was drawing
  const moved = form.contains(focused) && focused.matches("button[value]") && focused.value !== action;
  let filled = [];
  let shown = new Map();
  htmx.swap(form, page, { swapStyle: "outerHTML", swapDelay: 0, settleDelay: 20 }, {
    select: `#${form.id}`,
    afterSwapCallback: () => {
      const fresh = document.getElementById(form.id);
      fillIn(fresh, secrets);
      filled = fillIn(fresh, changes);
      shown = contents(fresh);
      touched.set(fresh, touched.get(form) || new Set());
      stay(top);
      if (moved) buttonOf(fresh, focused.name, focused.value)?.focus({ preventScroll: true });
      refocus(fresh, name, action);
    },
    // What listens to a control is there once htmx has settled. The server has not seen what was filled in, nor has anything heard what was
    // typed since; what was told wrong before is told again.
    afterSettleCallback: () => {
      const fresh = document.getElementById(form.id);
      const unheard = new Set([...filled, ...changedSince(shown, fresh).map(([, { one }]) => one)]);
      for (const field of unheard) if (!field.matches("[data-redraw]")) field.dispatchEvent(new Event("change", { bubbles: true }));
      if (!unheard.size) check(fresh);
    },
  });
}

function parsed(text) {
  return new DOMParser().parseFromString(text, "text/html");
}

// -- answers beside the buttons: a dry run, or what saving would change. The form itself stays as it is ----------------

// Says in the form why the server refused, so that the typed values stay. `page` is null where no answer came.
function sayRefused(form, page) {
  const notice = document.createElement("div");
  notice.className = "notice notice-wrong";
  notice.setAttribute("role", "alert");
  const told = page && ["#refusal", ".toast", ".empty", "main"].map((place) => page.querySelector(place)).find(Boolean);
  const texts = told ? [...told.querySelectorAll("strong, h1, p:not(.big)")].map((element) => element.textContent.trim()) : [];
  const words = [...new Set(texts.filter((text) => text && !texts.some((other) => other !== text && other.includes(text))))];
  for (const text of words.length ? words : [document.body.dataset.noAnswer]) {
    const line = document.createElement("p");
    line.textContent = text;
    notice.append(line);
  }
  answerIn(form, notice);
}

function answerIn(form, content) {
  const slot = document.getElementById("form-answer");
  if (!slot || !form.contains(slot)) {
    form.querySelector(":scope > .refused-here")?.remove();
    content.classList.add("refused-here");
    content.tabIndex = -1;
    form.prepend(content);
    content.focus();
    return;
  }
  slot.className = "";
  slot.replaceChildren(content);
  htmx.process(slot);
  slot.focus({ preventScroll: true });
}

async function answer(form, name, value) {
  if (!form) return;
  const before = contents(form);
  const button = [...form.elements].find((control) => control.name === name && control.value === value);
  form.setAttribute("aria-busy", "true");
  button.disabled = true;
  const body = new URLSearchParams(new FormData(form));
  body.append(name, value);
  let text = null;
  try {
    text = await (await fetch(form.action, { method: "POST", body })).text();
  } catch {
    // told below
  }
  button.disabled = false;
  form.removeAttribute("aria-busy");
  const page = text === null ? null : parsed(text);
  const told = page?.getElementById("form-answer");
  if (told?.childElementCount) {
    const content = document.createElement("div");
    content.className = told.className;
    content.append(...document.adoptNode(told).childNodes);
    answerIn(form, content);
  } else if (page?.getElementById("form-errors") && page.getElementById(form.id)) swapIn(form, text, before, name, value);
  else sayRefused(form, page);
}

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button?.dataset.answer || event.defaultPrevented) return;
  event.preventDefault();
  const { id } = event.target; // the form may be drawn anew before its turn comes
  queue = queue.then(() => answer(document.getElementById(id), button.name, button.value)).catch(() => {});
});

// -- edit: the fields that differ from the stored job are marked, and counted beside the buttons -----------------------

let stored = null; // what each control held when the page was opened

function valueOf(control) {
  return control.type === "checkbox" || control.type === "radio" ? String(control.checked) : control.value;
}

function markChanges() {
  const form = document.querySelector("form[data-marks-changes]");
  if (!form) return;
  const now = new Map([...contents(form)].map(([key, { one }]) => [key, one]));
  stored ??= new Map([...now].map(([key, one]) => [key, valueOf(one)]));
  const changed = new Set();
  for (const [key, one] of now) {
    const place = one.closest(".field, fieldset") || one.parentElement;
    if (one.name.endsWith(".s") || (stored.has(key) ? stored.get(key) === valueOf(one) : !valueOf(one))) continue;
    changed.add(place);
  }
  for (const place of form.querySelectorAll(".changed")) if (!changed.has(place)) place.classList.remove("changed");
  for (const place of changed) place.classList.add("changed");
  const words = form.querySelector(".changed-count");
  if (!words) return;
  words.textContent = changed.size === 0 ? "" : changed.size === 1 ? words.dataset.one : words.dataset.many.replace("#", changed.size);
}

document.addEventListener("DOMContentLoaded", markChanges);
document.addEventListener("input", markChanges);
document.addEventListener("change", markChanges);
document.addEventListener("htmx:afterSettle", markChanges);

// -- tokens: suggestions for the last of several texts in one line -----------------------------------------------------

document.addEventListener("input", (event) => {
  const field = event.target;
  if (!field.matches("[data-tokens]")) return;
  const [, begun] = /^(.*[,;]\s*)?/.exec(field.value);
  for (const option of field.list.options) {
    option.dataset.word ??= option.value;
    option.value = `${begun || ""}${option.dataset.word}`;
  }
});

// The page with the form as the server draws it; null where it answers with something else, which htmx has dealt with.
async function drawn(form, name, action) {
  let page = null;
  const keep = (event) => {
    if (event.detail.target !== form || !event.detail.shouldSwap) return;
    event.detail.shouldSwap = false;
    page = event.detail.serverResponse;
  };
  form.addEventListener("htmx:beforeSwap", keep);
  try {
    await htmx.ajax("POST", form.action, { source: form, target: form, values: { [name]: action } });
  } finally {
    form.removeEventListener("htmx:beforeSwap", keep);
  }
  return page;
}

function redraw(control) {
  const name = control.name.replace(/\.(s|t|b[0-9]+[oa])$/, "");
  draw(control.form.id, `${prefixOf(control)}.action`, `update ${name}`);
}

function buttonOf(form, name, value) {
  return [...form.elements].find((control) => control.name === name && control.value === value && !control.disabled);
}

// htmx gives the focus back to an element with an id. Buttons have none: the focus goes to the row that a button added, or to the same button
// of the new form. If that is gone, it goes to the button that adds rows, or to the list.
function refocus(form, name, action) {
  if (document.activeElement && document.activeElement !== document.body) return;
  const [what, field] = action.split(" ");
  const group = document.getElementById(field);
  const rows = group ? group.querySelectorAll(":scope > .rows > .row") : [];
  const fresh = what === "add" && rows.length ? rows[rows.length - 1].querySelector("input:not([type=hidden]), select, textarea, button") : null;
  (fresh || buttonOf(form, name, action) || buttonOf(form, name, `add ${field}`) || group)?.focus({ preventScroll: true });
}

// -- wrong or not: asked of the server as one leaves a field, shown only where one has been ----------------------------

const touched = new WeakMap();
let asked = 0;

function left(control) {
  const names = touched.get(control.form) || new Set();
  touched.set(control.form, names.add(control.name));
  check(control.form, () => redraw(control));
}

async function check(form, onOtherPlaces = () => {}) {
  const names = touched.get(form);
  if (!names?.size || !form.hasAttribute("data-check")) return;
  const body = new URLSearchParams(new FormData(form));
  const [prefix] = [...names][0].split(".");
  body.append(`${prefix}.action`, "check");
  asked += 1;
  const mine = asked;
  let answer;
  try {
    answer = await fetch(form.action, { method: "POST", body, headers: { "HX-Request": "true" } });
  } catch {
    return; // saving will tell
  }
  const text = await answer.text();
  if (!answer.ok || mine !== asked || form.hasAttribute("aria-busy") || !form.isConnected) return; // a later answer tells more
  const page = new DOMParser().parseFromString(text, "text/html");
  const drawn = page.getElementById(form.id);
  if (!drawn) return; // someone has done meanwhile what the form is for: sending will tell
  if (places(form) !== places(drawn)) onOtherPlaces(); // a condition asks for other fields now
  else for (const name of names) show(form, page, name);
}

function places(form) {
  return [...form.querySelectorAll("[data-role][name]:not([data-role=state])")].map((one) => `${one.name} ${one.dataset.role}`).join("\n");
}

function show(form, page, name) {
  const now = form.elements.namedItem(name);
  const then = page.getElementById(form.id)?.elements.namedItem(name);
  for (const id of new Set([name, name.replace(/\.key$/, "")])) {
    const here = document.getElementById(`${id}-messages`);
    const there = page.getElementById(`${id}-messages`);
    if (!here || !there || here.textContent === there.textContent) continue;
    here.replaceChildren(...there.childNodes);
    here.closest(".field, fieldset").classList.toggle("wrong", here.querySelector(".field-error") !== null);
    if (now instanceof Element && then instanceof Element) {
      for (const attribute of ["aria-invalid", "aria-describedby"]) {
        if (then.hasAttribute(attribute)) now.setAttribute(attribute, then.getAttribute(attribute));
        else now.removeAttribute(attribute);
      }
    }
  }
}

// -- visibility by siblings ---------------------------------------------------------------------------------------------

function rawOf(form, name) {
  const found = form.elements.namedItem(name);
  if (!found) return "";
  if (found.type === "checkbox") return found.checked ? "true" : "false";
  return found.value;
}

function updateVisibility(form) {
  for (const one of form.querySelectorAll("[data-visible-if]")) {
    const rule = JSON.parse(one.dataset.visibleIf);
    one.hidden = !Object.entries(rule).every(([name, raws]) => raws.includes(rawOf(form, name)));
  }
}

// -- search in a long list of options -----------------------------------------------------------------------------------

const allOptions = new WeakMap();
const MOST_FOUND = 200;

function find(box) {
  const select = document.getElementById(box.dataset.find);
  if (!allOptions.has(select)) allOptions.set(select, [...select.options]);
  const wanted = box.value.trim().toLowerCase();
  const chosen = select.selectedOptions[0];
  const found = allOptions.get(select).filter((one) => one === chosen || one.value === "" || !wanted || one.text.toLowerCase().includes(wanted));
  const shown = wanted ? found.slice(0, MOST_FOUND) : found;
  if (chosen && !shown.includes(chosen)) shown.unshift(chosen);
  select.replaceChildren(...shown);
  select.value = chosen ? chosen.value : "";
  const first = wanted && shown.find((one) => one.value !== "" && one.text.toLowerCase().includes(wanted));
  if (first && !(chosen && chosen.value && chosen.text.toLowerCase().includes(wanted))) select.value = first.value;
}

// ------------------------------------------------------------------------------------------------------------------------

document.addEventListener("change", (event) => {
  const control = event.target;
  if (!control.form || !control.dataset) return;
  if (control.matches("[data-redraw]")) redraw(control);
  else if (control.dataset.role) {
    updateVisibility(control.form);
    left(control);
  }
});
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button?.dataset.role || !button.name.endsWith(".action")) return;
  event.preventDefault();
  draw(event.target.id, button.name, button.value);
});
document.addEventListener("input", (event) => {
  if (event.target.matches("[data-find]")) find(event.target);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("[data-find]")) {
    event.preventDefault(); // picks what was found, does not send the form
    document.getElementById(event.target.dataset.find).focus();
  }
});

// A link of the summary opens what folds its control away, and gives it the focus.
document.addEventListener("click", (event) => {
  const link = event.target.closest("#form-errors a[href^='#']");
  const target = link && document.getElementById(link.getAttribute("href").slice(1));
  if (!target) return;
  event.preventDefault();
  for (let fold = target.closest("details:not([open])"); fold; fold = fold.parentElement.closest("details:not([open])")) fold.open = true;
  target.hidden = false;
  target.scrollIntoView({ block: "center" });
  target.focus();
});

// -- a long list of check boxes: chips of the chosen ones, and a search field ---------------------------------------------

function showPicked(group) {
  const chips = [...group.querySelectorAll("[data-pick-list] input:checked")].map((box) => {
    const chip = document.createElement("label");
    chip.className = "chosen-chip";
    chip.htmlFor = box.id;
    chip.append(box.closest("label").textContent.trim());
    chip.insertAdjacentHTML("beforeend", '<svg class="icon" aria-hidden="true"><use href="/static/icons.svg#x"/></svg>');
    return chip;
  });
  group.querySelector("[data-picked]").replaceChildren(...chips);
}

function filterPicks(search) {
  const group = search.closest("[data-picks]");
  const wanted = search.value.trim().toLowerCase();
  const labels = [...group.querySelectorAll("[data-pick-list] label")];
  for (const label of labels) label.hidden = !label.textContent.toLowerCase().includes(wanted);
  group.querySelector("[data-pick-none]").hidden = labels.some((label) => !label.hidden);
}

// Arrow keys move through the boxes that are shown; Enter in the search field picks the first one.
function movePick(event) {
  const group = event.target.closest("[data-picks]");
  const boxes = [...group.querySelectorAll("[data-pick-list] label:not([hidden]) input")];
  const isSearch = event.target.matches("[data-pick-find]");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    const next = boxes[boxes.indexOf(event.target) + step];
    (next || (step < 0 ? group.querySelector("[data-pick-find]") : event.target)).focus();
  } else if (isSearch && event.key === "Enter") {
    event.preventDefault();
    boxes[0]?.click();
  }
}

document.addEventListener("change", (event) => {
  const group = event.target.matches("[data-pick-list] input") && event.target.closest("[data-picks]");
  if (group) showPicked(group);
});
document.addEventListener("input", (event) => {
  if (event.target.matches("[data-pick-find]")) filterPicks(event.target);
});
document.addEventListener("keydown", (event) => {
  if (event.target.matches("[data-pick-find], [data-pick-list] input")) movePick(event);
});

// -- a file fills the text beside it --------------------------------------------------------------------------------------

function sizeInWords(bytes) {
  const language = document.documentElement.lang;
  const digits = (value) => value.toLocaleString(language, { maximumFractionDigits: 1 });
  if (bytes >= 1_000_000) return `${digits(bytes / 1_000_000)} MB`;
  return bytes >= 1000 ? `${digits(bytes / 1000)} kB` : `${bytes} B`;
}

function fillFromFile(input) {
  const [file] = input.files;
  if (!file) return;
  const note = input.closest("[data-file-text]").querySelector("[data-file-note]");
  if (file.size > Number(input.dataset.most)) {
    note.textContent = input.dataset.tooLarge;
    input.value = "";
    return;
  }
  const reader = new FileReader();
  reader.addEventListener("load", () => {
    const text = document.getElementById(input.dataset.fill);
    const body = reader.result.slice(reader.result.indexOf(",") + 1);
    text.value = input.dataset.as === "url" ? `data:${file.type || "application/octet-stream"};base64,${body}` : body;
    note.textContent = [file.name, file.type, sizeInWords(file.size)].filter(Boolean).join(" · ");
    input.value = ""; // the text is what is sent
    text.dispatchEvent(new Event("input", { bubbles: true }));
    text.dispatchEvent(new Event("change", { bubbles: true }));
  });
  reader.readAsDataURL(file);
}

document.addEventListener("change", (event) => {
  if (event.target.matches("input[data-fill]")) fillFromFile(event.target);
});
// An empty file field is not sent as a text.
document.addEventListener("formdata", (event) => {
  for (const input of event.target.querySelectorAll("input[data-fill]")) event.formData.delete(input.name);
});
