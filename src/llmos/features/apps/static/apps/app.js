// [data-app]: an application in its frame says what it wants; this page asks, as the visitor who allowed it.
import { fill, frames, Refusal, stageText } from "../playground/stream.mjs";

const MOST_CALLS = 4;
const NAMES = ["temperature", "top_p", "top_k", "max_tokens", "seed", "stop", "repetition_penalty"];
const box = document.querySelector("[data-app]");
const frame = box.querySelector("[data-app-frame]");
const consent = box.querySelector("[data-app-consent]");
const empty = box.querySelector("[data-app-empty]");
const { space, commit, words } = JSON.parse(box.dataset.app);
const running = new Map();
let asking = null;

// A frame without an origin can be named only by "*"; its address cannot leave the folder of the application.
const say = (id, message) => frame.contentWindow?.postMessage({ llmos: 1, id, ...message }, "*");
const text = (value) => (typeof value === "string" ? value : "");

// Once for each model. Another commit is another program: it has to ask again.
async function allowed(model) {
  const key = `llmos-app:${space}:${commit}:${model}`;
  while (asking) await asking;
  if (sessionStorage.getItem(key)) return true;
  asking = new Promise((resolve) => {
    consent.querySelector("[data-app-consent-text]").textContent = fill(words.consent, { space, model });
    consent.querySelector("[data-app-allow]").onclick = () => resolve(true);
    consent.querySelector("[data-app-deny]").onclick = () => resolve(false);
    consent.hidden = false;
    consent.scrollIntoView({ block: "nearest" });
  });
  const isAllowed = await asking;
  asking = null;
  consent.hidden = true;
  if (isAllowed) sessionStorage.setItem(key, "1");
  return isAllowed;
}

// Messages as the turns of a conversation of the playground.
function talkOf(call) {
  const params = Object.fromEntries(Object.entries(call.params ?? {}).filter(([name]) => NAMES.includes(name)));
  const talk = { mode: "completion", models: [text(call.model)], params, turns: [] };
  if (call.op === "complete") return { ...talk, turns: [{ text: text(call.prompt) }] };
  for (const { role, content } of Array.isArray(call.messages) ? call.messages : []) {
    if (role === "system") talk.system = text(content);
    else if (role === "user") talk.turns.push({ text: text(content), answers: [] });
    else if (talk.turns.length) talk.turns.at(-1).answers = [{ text: text(content) }];
  }
  return { ...talk, mode: "chat" };
}

async function ask(call, signal) {
  const { id, op, model } = call;
  if (!(await allowed(text(model)))) throw new Refusal(words.refused, "not_allowed");
  if (signal.aborted) return;
  const csrf_token = box.dataset.csrf;
  const isTask = op === "task";
  const fields = isTask
    ? { csrf_token, model: text(model), values: JSON.stringify(call.values ?? {}) }
    : { csrf_token, column: "0", talk: JSON.stringify(talkOf(call)) };
  let said = "";
  let result = null;
  for await (const part of frames(isTask ? "/-/apps/task" : "/playground/ask", fields, signal)) {
    if (part.event === "waiting") say(id, { event: "stage", text: stageText(part, words) });
    else if (part.event === "delta") {
      said += part.text;
      say(id, { event: "delta", text: part.text });
    } else if (part.event === "result") result = part.result;
  }
  say(id, { event: "done", result: isTask ? result : said });
}

async function listModels({ id, tasks }, signal) {
  const query = new URLSearchParams((Array.isArray(tasks) ? tasks : []).map((task) => ["task", String(task)]));
  const answer = await fetch(`/-/apps/models?${query}`, { signal, credentials: "omit" });
  if (!answer.ok) throw new Refusal(words.lost);
  const { models } = await answer.json();
  empty.hidden = models.length > 0;
  say(id, { event: "done", result: models });
}

// As a visitor without an account: what only the person may read stays out of the application.
async function readme({ id, repo }, signal) {
  const path = text(repo).split("/").map(encodeURIComponent).join("/");
  const answer = await fetch(`/${path}/raw/main/README.md`, { signal, credentials: "omit" });
  if (!answer.ok) throw new Refusal(words.noReadme, "not_found");
  say(id, { event: "done", result: await answer.text() });
}

const OPS = { complete: ask, chat: ask, task: ask, models: listModels, readme };

async function answer(call) {
  const { id } = call;
  const doing = Object.hasOwn(OPS, call.op) ? OPS[call.op] : null;
  if (!doing || running.has(id)) return say(id, { event: "error", code: "unknown", message: words.unknown });
  if (running.size >= MOST_CALLS) return say(id, { event: "error", code: "too_many", message: words.tooMany });
  const mine = new AbortController();
  running.set(id, mine);
  try {
    await doing(call, mine.signal);
  } catch (error) {
    const isStopped = error.name === "AbortError";
    const isKnown = error instanceof Refusal;
    const code = isStopped ? "stopped" : isKnown ? error.code : "lost";
    say(id, { event: "error", code, message: isStopped ? "" : isKnown ? error.message : words.lost });
  } finally {
    if (running.get(id) === mine) running.delete(id);
  }
}

function stopAll() {
  for (const one of running.values()) one.abort();
  running.clear();
}

addEventListener("message", ({ source, data }) => {
  if (source !== frame.contentWindow || data?.llmos !== 1) return;
  if (data.op === "size") frame.style.height = `${Math.min(Math.max(Number(data.height) || 0, 240), 6000)}px`;
  else if (typeof data.id !== "number") return;
  else if (data.op === "cancel") running.get(data.id)?.abort();
  else answer(data);
});
// Who loads anew has forgotten what it asked.
let loads = 0;
frame.addEventListener("load", () => {
  if (loads++) stopAll();
});
addEventListener("pagehide", stopAll);
// Only now is there somebody to listen.
frame.src = frame.dataset.appFrame;
