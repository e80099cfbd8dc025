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
// The page a link leads to comes as a dialog, where the server has one: data-dialog-load, and reports.
document.addEventListener("click", async (event) => {
  const link = event.target.closest('a[data-dialog-load], a[href^="/-/report?"]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !HTMLDialogElement.prototype.showModal) return;
  event.preventDefault();
  try {
    const answer = await fetch(link.href, { headers: { "HX-Request": "true" } });
    if (!answer.ok || answer.redirected) throw new Error("no dialog");
    const holder = document.createElement("template");
    holder.innerHTML = await answer.text();
    const dialog = holder.content.querySelector("dialog");
    if (!dialog) throw new Error("no dialog");
    document.body.append(dialog);
    dialog.addEventListener("close", () => { dialog.remove(); link.closest("details")?.querySelector("summary")?.focus(); });
    dialog.showModal();
  } catch {
    location.href = link.href;
  }
});
