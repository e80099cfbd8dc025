// The choice applies at once; the form's own request only keeps it for the next page.
document.documentElement.classList.add("js");
for (const form of document.querySelectorAll("[data-theme-form]")) {
  form.addEventListener("submit", (event) => {
    const value = event.submitter?.value;
    if (!value) return;
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form));
    body.set("theme", value);
    fetch(form.action, { method: "POST", body, redirect: "manual" });
    if (value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = value;
    document.querySelector('meta[name="color-scheme"]').content = value === "auto" ? "light dark" : value;
    for (const button of document.querySelectorAll("[data-theme-form] button")) {
      if (button.value === value) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    form.closest("details")?.removeAttribute("open");
  });
}
