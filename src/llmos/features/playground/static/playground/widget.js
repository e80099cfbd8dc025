// [data-try]: the form of a task answers in its place; a model that writes is seen writing.
import { el, frames, Refusal, stageText } from "./stream.mjs";

for (const form of document.querySelectorAll("[data-try]")) {
  const { words, hints } = JSON.parse(form.dataset.config);
  const box = form.querySelector("[data-try-answer]");
  const send = form.querySelector("[data-try-send]");
  const stop = form.querySelector("[data-try-stop]");
  let running = null;

  const busy = (text) => {
    box.replaceChildren(el("p", { class: "play-stage" }, el("span", { class: "play-spinner", "aria-hidden": "true" }), text));
  };
  const failed = (error) => {
    const known = error instanceof Refusal;
    const hint = known ? hints[error.code] : "";
    box.replaceChildren(
      el("div", { class: "alert alert-danger", role: "alert" },
        el("div", {}, el("p", {}, known ? error.message : words.lost), hint ? el("p", { class: "small" }, hint) : null)),
    );
  };
  const take = (frame, state) => {
    if (frame.event === "waiting") busy(stageText(frame, words));
    else if (frame.event === "start") busy(words.reading);
    else if (frame.event === "html") box.innerHTML = frame.html;
    else if (frame.event === "delta") {
      if (!state.text) {
        state.text = el("p", { class: "try-text" });
        box.replaceChildren(state.text);
      }
      state.text.append(frame.text);
    } else if (frame.event === "rendered" && state.text) {
      const markdown = el("div", { class: "markdown try-markdown" });
      markdown.innerHTML = frame.html;
      box.replaceChildren(markdown);
    }
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.abort();
    const mine = (running = new AbortController());
    const state = {};
    send.hidden = true;
    stop.hidden = false;
    busy(words.asking);
    try {
      for await (const frame of frames(form.action, new FormData(form), mine.signal)) take(frame, state);
    } catch (error) {
      if (error.name !== "AbortError") failed(error);
      else if (!state.text) box.replaceChildren(el("p", { class: "small muted" }, words.stopped));
    } finally {
      if (running === mine) {
        send.hidden = false;
        stop.hidden = true;
      }
    }
  });
  stop.addEventListener("click", () => running?.abort());
  addEventListener("pagehide", () => running?.abort());
  for (const button of form.querySelectorAll("[data-try-example]")) {
    button.addEventListener("click", () => {
      for (const [name, value] of Object.entries(JSON.parse(button.dataset.tryExample))) form.elements[name].value = value;
    });
  }
}
