// Draws /api/openapi.json with the vendored Swagger UI, in the theme of the other pages. Who is signed in gets a token for this page.
"use strict";

function followTheme() {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const show = () => root.classList.toggle("dark-mode", root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  system.addEventListener("change", show);
  new MutationObserver(show).observe(root, { attributeFilter: ["data-theme"] });
  show();
}

async function authorise(ui, button) {
  button.disabled = true;
  const answer = await fetch(button.dataset.authorise, { method: "POST", headers: { "X-CSRFToken": button.dataset.csrf } });
  if (answer.ok) ui.preauthorizeApiKey("token", (await answer.json()).token);
  document.getElementById(answer.ok ? "docs-authorised" : "docs-refused").hidden = false;
  button.hidden = answer.ok;
  button.disabled = false;
}

window.addEventListener("DOMContentLoaded", () => {
  followTheme();
  const ui = window.SwaggerUIBundle({
    url: "/api/openapi.json",
    dom_id: "#swagger",
    deepLinking: true,
    validatorUrl: null,
    docExpansion: "list",
    filter: true,
  });
  const button = document.querySelector("[data-authorise]");
  button?.addEventListener("click", () => authorise(ui, button));
});
