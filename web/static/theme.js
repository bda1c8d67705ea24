// Before the first paint: that scripts run at all, and the theme that was chosen last; none means the system's.
(() => {
  document.documentElement.classList.add("js");
  const chosen = localStorage.getItem("jobwright-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
