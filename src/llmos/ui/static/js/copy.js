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
const copyTemplate = document.querySelector("[data-copy-template]");
for (const code of copyTemplate ? document.querySelectorAll(".markdown pre > code") : []) {
  const frame = document.createElement("div");
  frame.className = "code-fence";
  frame.dataset.copy = "";
  code.dataset.copySource = "";
  code.parentElement.tabIndex = 0;
  code.parentElement.replaceWith(frame);
  frame.append(code.parentElement, copyTemplate.content.cloneNode(true));
}
