// [data-server-draft="place"]: what is typed into this form is kept on the server a moment later, so
// that it waits on every device of its author. Sending the form ends that.
const WAIT_MS = 1500;
const FIELDS = ["title", "text", "category", "tags"];

for (const form of document.querySelectorAll("form[data-server-draft]")) {
  const note = form.querySelector("[data-draft-note]");
  let timer;
  let running = null;
  const save = async () => {
    running?.abort();
    running = new AbortController();
    const body = new FormData();
    body.set("csrf_token", form.elements.csrf_token.value);
    body.set("place", form.dataset.serverDraft);
    for (const name of FIELDS) body.set(name, form.elements[name]?.value ?? "");
    // Without a connection the browser's own draft of the editor stays.
    const answer = await fetch("/forum/drafts", { method: "POST", body, signal: running.signal }).catch(() => null);
    const told = answer?.ok ? await answer.json().catch(() => null) : null;
    if (note) note.textContent = told?.saved_at ? form.dataset.saved : "";
  };
  form.addEventListener("input", (event) => {
    if (!FIELDS.includes(event.target.name)) return;
    clearTimeout(timer);
    timer = setTimeout(save, WAIT_MS);
  });
  form.addEventListener("submit", (event) => {
    if (event.submitter?.hasAttribute("data-editor-preview")) return;
    clearTimeout(timer);
    running?.abort();
  });
}
