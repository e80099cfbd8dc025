// [data-markdown-editor]: toolbar, preview, drafts, pictures by paste and drop, Ctrl+Enter.
// The draft of a form that was sent goes when the next page shows that it arrived: a message of
// success or a link to the new comment. Otherwise the text comes back.
const DRAFT_DAYS = 30;
const wraps = { bold: ["**", "**"], italic: ["_", "_"], code: ["`", "`"] };
const prefixes = { quote: "> ", list: "- ", tasks: "- [ ] ", heading: "### " };
const shortcuts = { b: "bold", i: "italic", e: "code", k: "link" };

const edit = (area, from, to, text) => {
  area.focus();
  area.setSelectionRange(from, to);
  // execCommand keeps the browser's own undo; where it is gone, the text is still set.
  if (!document.execCommand("insertText", false, text)) area.setRangeText(text, from, to, "end");
  area.dispatchEvent(new Event("input", { bubbles: true }));
};

const wrapSelection = (area, [open, close]) => {
  const { selectionStart: from, selectionEnd: to, value } = area;
  const text = value.slice(from, to);
  const isWrapped = value.slice(from - open.length, from) === open && value.slice(to, to + close.length) === close;
  if (isWrapped) {
    edit(area, from - open.length, to + close.length, text);
    area.setSelectionRange(from - open.length, to - open.length);
  } else {
    edit(area, from, to, open + text + close);
    area.setSelectionRange(from + open.length, to + open.length);
  }
};

const prefixLines = (area, prefix) => {
  const { value } = area;
  const from = value.lastIndexOf("\n", area.selectionStart - 1) + 1;
  const end = value.indexOf("\n", area.selectionEnd);
  const to = end < 0 ? value.length : end;
  const lines = value.slice(from, to).split("\n");
  const all = lines.every((line, index) => line.startsWith(prefix(index)));
  const text = lines.map((line, index) => (all ? line.slice(prefix(index).length) : prefix(index) + line)).join("\n");
  edit(area, from, to, text);
};

const useTool = (area, tool) => {
  if (wraps[tool]) wrapSelection(area, wraps[tool]);
  else if (tool === "link") wrapSelection(area, ["[", "](https://)"]);
  else if (tool === "numbers") prefixLines(area, (index) => `${index + 1}. `);
  else if (prefixes[tool]) prefixLines(area, () => prefixes[tool]);
};

const setUpDraft = (editor, area) => {
  if (!editor.dataset.draft) return;
  const key = `llmos:draft:${editor.dataset.draft}`;
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem(key));
  } catch {
    return;
  }
  const arrived = document.querySelector(".toast-success") || location.hash.startsWith("#comment-");
  const isOld = kept && Date.now() - kept.at > DRAFT_DAYS * 86400e3;
  if (kept && (isOld || (kept.sent && arrived))) localStorage.removeItem(key);
  else if (kept?.text && !area.value.trim()) {
    area.value = kept.text;
    editor.querySelector("[data-editor-note]").textContent = editor.dataset.restored;
  }
  const keep = (sent) => {
    try {
      if (area.value.trim()) localStorage.setItem(key, JSON.stringify({ text: area.value, at: Date.now(), sent }));
      else localStorage.removeItem(key);
    } catch {
      // No room or no permission: there is no draft then.
    }
  };
  let timer;
  area.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(keep, 400, false);
  });
  area.form?.addEventListener("submit", (event) => {
    clearTimeout(timer);
    keep(!event.submitter?.hasAttribute("data-editor-preview"));
  });
};

const setUpPreview = (editor, area) => {
  const write = editor.querySelector("[data-editor-write]");
  const show = editor.querySelector("[data-editor-preview]");
  const pane = editor.querySelector(".editor-preview");
  const turn = (isPreview) => {
    editor.classList.toggle("is-preview", isPreview);
    write.setAttribute("aria-pressed", String(!isPreview));
    show.setAttribute("aria-pressed", String(isPreview));

    area.hidden = isPreview;
    pane.hidden = !isPreview;
  };
  write.addEventListener("click", () => {
    turn(false);
    area.focus();
  });
  show.addEventListener("click", async (event) => {
    event.preventDefault();
    const body = new FormData();
    body.set(area.name, area.value);
    body.set("csrf_token", area.form.elements.csrf_token?.value ?? "");
    turn(true);
    if (!area.value.trim()) {
      pane.textContent = editor.dataset.nothing;
      return;
    }
    pane.setAttribute("aria-busy", "true");
    const answer = await fetch(show.formAction, { method: "POST", body, headers: { "HX-Request": "true" } }).catch(() => null);
    pane.removeAttribute("aria-busy");
    if (!answer?.ok) {
      pane.textContent = (await answer?.text().catch(() => ""))?.slice(0, 300) || "…";
      return;
    }
    // The answer is sanitised by the server, as every text of a page is.
    pane.innerHTML = await answer.text();
    pane.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true, detail: { elt: pane } }));
  });
};

const setUpUpload = (editor, area) => {
  const url = editor.dataset.upload;
  if (!url) return;
  const note = editor.querySelector("[data-editor-note]");
  const input = editor.querySelector("[data-editor-file]");
  const send = async (file) => {
    const name = file.name || "image.png";
    const placeholder = `![${editor.dataset.uploading.replace("{name}", name)}…]()`;
    edit(area, area.selectionStart, area.selectionEnd, placeholder);
    const replace = (text) => {
      const at = area.value.indexOf(placeholder);
      if (at >= 0) area.setRangeText(text, at, at + placeholder.length, "preserve");
      area.dispatchEvent(new Event("input", { bubbles: true }));
    };
    const body = new FormData();
    body.set("csrf_token", area.form?.elements.csrf_token?.value ?? "");
    body.set("file", file, name);
    const answer = await fetch(url, { method: "POST", body, headers: { Accept: "application/json" } }).catch(() => null);
    const told = await answer?.json().catch(() => null);
    if (answer?.ok && told?.url) replace(`![${name.replace(/[[\]\\]/g, "")}](${told.url})`);
    else {
      replace("");
      note.textContent = `${editor.dataset.failed.replace("{name}", name)}${told?.error ? `: ${told.error}` : ""}`;
    }
  };
  const sendImages = (event, list) => {
    const files = [...(list ?? [])].filter((file) => file.type.startsWith("image/"));
    if (!files.length) return;
    event.preventDefault();
    files.forEach(send);
  };
  area.addEventListener("paste", (event) => sendImages(event, event.clipboardData?.files));
  area.addEventListener("drop", (event) => sendImages(event, event.dataTransfer?.files));
  for (const type of ["dragenter", "dragover"]) area.addEventListener(type, () => editor.classList.add("is-over"));
  for (const type of ["dragleave", "drop"]) area.addEventListener(type, () => editor.classList.remove("is-over"));
  input?.addEventListener("change", (event) => {
    sendImages(event, input.files);
    input.value = "";
  });
};

const setUpEditor = (editor) => {
  if (editor.dataset.ready) return;
  editor.dataset.ready = "yes";
  const area = editor.querySelector(".editor-text");
  const tools = [...editor.querySelectorAll("[data-tool]")];
  editor.addEventListener("click", (event) => {
    const tool = event.target.closest("[data-tool]")?.dataset.tool;
    if (tool === "attach") editor.querySelector("[data-editor-file]").click();
    else if (tool) useTool(area, tool);
  });
  // One stop of the Tab key for the whole toolbar; arrows move inside it.
  editor.querySelector("[role=toolbar]")?.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = tools.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    const next = tools[(at + step + tools.length) % tools.length];
    for (const tool of tools) tool.tabIndex = tool === next ? 0 : -1;
    next.focus();
  });
  area.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.isComposing) return;
    if (event.key === "Enter") {
      event.preventDefault();
      area.form?.requestSubmit(area.form.querySelector("[data-submit-default]") ?? undefined);
    } else if (shortcuts[event.key.toLowerCase()] && !event.shiftKey) {
      event.preventDefault();
      useTool(area, shortcuts[event.key.toLowerCase()]);
    }
  });
  setUpDraft(editor, area);
  setUpPreview(editor, area);
  setUpUpload(editor, area);
};

const setUpAll = (root) => root.querySelectorAll?.("[data-markdown-editor]").forEach(setUpEditor);
setUpAll(document);
document.addEventListener("htmx:load", (event) => setUpAll(event.detail?.elt ?? event.target));

// [data-quote="#editor"]: the selected words of the comment, or all of it, as a quotation.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-quote]");
  const area = button && document.querySelector(`${button.dataset.quote} .editor-text, textarea${button.dataset.quote}`);
  if (!area) return;
  const comment = button.closest("[data-comment]");
  const selection = getSelection();
  const isInside = comment.querySelector(".comment-body")?.contains(selection.anchorNode);
  const chosen = isInside ? selection.toString().trim() : "";
  const text = chosen || comment.querySelector("[data-comment-source]").content.textContent.trim();
  const who = button.dataset.quoteAuthor ? `@${button.dataset.quoteAuthor}\n\n` : "";
  const quoted = `${text.replace(/^/gm, "> ")}\n\n${who}`;
  const before = area.value.trimEnd();
  edit(area, before.length, area.value.length, before ? `\n\n${quoted}` : quoted);
  area.scrollIntoView({ block: "center" });
});
