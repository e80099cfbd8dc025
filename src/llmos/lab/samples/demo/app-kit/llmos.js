// Talks to the LLMOS page around this application. Copy this file beside your own page: nothing else is needed.
// The page asks the models of its instance as the visitor, who is asked once whether that is all right.

const query = new URLSearchParams(location.search);
export const lang = (query.get("lang") || navigator.language).startsWith("zh") ? "zh" : "en";
export const t = (en, zh) => (lang === "zh" ? zh : en);

const waiting = new Map();
let last = 0;

addEventListener("message", ({ source, data }) => {
  if (source !== parent || data?.llmos !== 1) return;
  const call = waiting.get(data.id);
  if (!call) return;
  if (data.event === "stage") call.onStage?.(data.text);
  else if (data.event === "delta") call.onText?.(data.text);
  else {
    waiting.delete(data.id);
    if (data.event === "done") call.resolve(data.result);
    else call.reject(Object.assign(new Error(data.message), { code: data.code }));
  }
});

// request: { op: "complete", model, prompt, params } | { op: "chat", model, messages, params }
//   | { op: "task", model, values } | { op: "models", tasks } | { op: "readme", repo }
// Resolves with the whole answer; while it comes, onText gets its pieces and onStage what is waited for.
export function ask(request, { onText, onStage, signal } = {}) {
  if (parent === window) return Promise.reject(new Error(t("Open this application in its Space.", "请在空间里打开此应用。")));
  const id = ++last;
  signal?.addEventListener("abort", () => parent.postMessage({ llmos: 1, id, op: "cancel" }, "*"));
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject, onText, onStage });
    parent.postMessage({ llmos: 1, id, ...request }, "*");
  });
}

// Fills a <select> with the models for some tasks; resolves with them, by name.
export async function pickModel(select, ...tasks) {
  const models = await ask({ op: "models", tasks });
  select.replaceChildren(...models.map(({ name }) => new Option(name, name)));
  if (!models.length) select.append(new Option(t("No model fits yet", "还没有合适的模型"), ""));
  return Object.fromEntries(models.map((model) => [model.name, model]));
}

// A form with a status line, an answer and a stop button; `work(controls)` asks and shows.
export function onSubmit(form, work) {
  const stage = document.querySelector("[data-stage]");
  const answer = document.querySelector("[data-answer]");
  const stop = form.querySelector("[data-stop]");
  let running = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.abort();
    const mine = (running = new AbortController());
    answer.replaceChildren();
    stage.textContent = t("Asking the model…", "正在询问模型…");
    stage.className = "busy";
    stop.hidden = false;
    try {
      const onStage = (text) => (stage.textContent = text);
      const onText = (text) => answer.append(text);
      await work({ fields: new FormData(form), answer, options: { onStage, onText, signal: mine.signal } });
      stage.textContent = "";
      stage.className = "";
    } catch (error) {
      if (running === mine) {
        stage.textContent = error.code === "stopped" ? t("Stopped.", "已停止。") : error.message;
        stage.className = error.code === "stopped" ? "" : "error";
      }
    } finally {
      if (running === mine) stop.hidden = true;
    }
  });
  stop.addEventListener("click", () => running?.abort());
}

document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
document.documentElement.dataset.theme = query.get("theme") || "auto";
if (lang === "zh") for (const node of document.querySelectorAll("[data-zh]")) node.textContent = node.dataset.zh;
new ResizeObserver(() => {
  const height = Math.ceil(document.body.getBoundingClientRect().height);
  parent.postMessage({ llmos: 1, op: "size", height: height + 2 }, "*");
}).observe(document.body);
