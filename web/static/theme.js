// Before the first paint: the theme that was chosen last; none means the system's.
(() => {
  const chosen = localStorage.getItem("jobwright-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
