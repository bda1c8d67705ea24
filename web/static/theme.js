// Before the first paint: that scripts run at all, the theme that was chosen last (none means the system's), and for the server the zone
// in which times are read here.
(() => {
  document.documentElement.classList.add("js");
  const chosen = localStorage.getItem("jobwright-theme");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  document.cookie = `jobwright_zone=${zone}; path=/; max-age=31536000; SameSite=Lax${location.protocol === "https:" ? "; Secure" : ""}`;
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
