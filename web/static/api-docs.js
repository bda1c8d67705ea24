// Draws /api/openapi.json with the vendored Swagger UI.
window.addEventListener("DOMContentLoaded", () => {
  window.SwaggerUIBundle({ url: "/api/openapi.json", dom_id: "#swagger", deepLinking: true, validatorUrl: null, docExpansion: "list" });
});
