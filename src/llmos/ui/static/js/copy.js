document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy-button]");
  if (!button) return;
  const source = button.closest("[data-copy]").querySelector("[data-copy-source]");
  const text = source.value ?? source.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https there is no clipboard: select the text, so that Ctrl-C copies it.
    getSelection().selectAllChildren(source);
    return;
  }
  const label = button.getAttribute("aria-label");
  button.classList.add("is-done");
  button.setAttribute("aria-label", button.dataset.doneLabel);
  setTimeout(() => {
    button.classList.remove("is-done");
    button.setAttribute("aria-label", label);
  }, 1600);
});
// Code in Markdown gets a copy button, made from the page's own template.
const addCopyButtons = (root) => {
  const template = document.querySelector("[data-copy-template]");
  for (const code of (template && root.querySelectorAll?.(".markdown pre:not(.diagram) > code:not([data-copy-source])")) || []) {
    const frame = document.createElement("div");
    frame.className = "code-fence";
    frame.dataset.copy = "";
    code.dataset.copySource = "";
    code.parentElement.tabIndex = 0;
    code.parentElement.replaceWith(frame);
    frame.append(code.parentElement, template.content.cloneNode(true));
  }
};
addCopyButtons(document);
document.addEventListener("htmx:load", (event) => addCopyButtons(event.detail?.elt ?? event.target));
