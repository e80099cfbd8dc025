// A choice that needs no button where there is script.
for (const field of document.querySelectorAll("[data-autosubmit]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}
