document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog-open]");
  if (opener) {
    const dialog = document.getElementById(opener.dataset.dialogOpen);
    if (!dialog?.showModal) return;
    event.preventDefault();
    dialog.showModal();
  } else if (event.target.matches?.("dialog.dialog")) {
    event.target.close();
  }
});
// A destructive form is unlocked by typing the name of what goes: data-confirm-name on the input.
document.addEventListener("input", (event) => {
  const wanted = event.target.dataset?.confirmName;
  if (wanted === undefined) return;
  for (const button of event.target.form.querySelectorAll("[type=submit]")) {
    button.disabled = event.target.value.trim() !== wanted;
  }
});
for (const input of document.querySelectorAll("[data-confirm-name]")) {
  input.dispatchEvent(new Event("input", { bubbles: true }));
}
