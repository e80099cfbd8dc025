// [data-play]: the conversation is kept here and drawn from here; the hidden field `talk` always holds
// it, so that every button of the form that leaves the page takes it along.
import { el, fill, formData, frames, Refusal, stageText } from "./stream.mjs";
import { explainInto, tokenView } from "./tokens.mjs";

const form = document.querySelector("[data-play]");
const config = JSON.parse(form.dataset.config);
const { words, hints } = config;
const find = (name) => form.querySelector(`[data-play-${name}]`);
const list = find("turns");
const input = find("text");
const talk = config.talk;
let chat = config.chat;
let running = null;
const CARRY = "llmos-play";

const icons = new Map([...document.querySelector("[data-play-icons]").content.querySelectorAll("[data-icon]")].map((one) => [one.dataset.icon, one.firstElementChild]));
const icon = (name) => icons.get(name).cloneNode(true);
const tool = (name, label, onclick) => el("button", { class: "btn btn-quiet btn-sm play-tool", type: "button", onclick }, icon(name), el("span", {}, label));

/* What is set beside the conversation. */
const numbers = [...form.querySelectorAll("[data-param]")];
function readSettings() {
  for (const field of numbers) {
    const name = field.dataset.param;
    talk.params[name] = field.value === "" ? config.defaults[name] : Number(field.value);
  }
  talk.params.stop = form.querySelector("[data-stop]").value.split("\n").filter(Boolean);
  talk.system = form.querySelector("[data-system]").value;
  talk.mode = form.querySelector("[data-play-mode]:checked").value;
}
const answerOf = ({ text, tokens, prompt_tokens, first_s, rate, reason, revision }) => ({ text, tokens, prompt_tokens, first_s, rate, reason, revision });
function plainTalk(count = talk.turns.length) {
  readSettings();
  const turns = talk.turns.slice(0, count).map((turn) => ({ text: turn.text, answers: (turn.answers ?? []).map((answer) => (answer?.text || answer?.tokens ? answerOf(answer) : null)) }));
  return JSON.stringify({ ...talk, turns });
}
function sync() {
  find("talk").value = plainTalk();
  find("chat").value = chat;
  find("empty").hidden = talk.turns.length > 0;
  for (const button of form.querySelectorAll("[data-play-needs-turns]")) button.disabled = !talk.turns.length || Boolean(running);
  form.dataset.mode = talk.mode;
}

/* Drawing. */
function draw() {
  list.replaceChildren(...talk.turns.map(drawTurn));
  sync();
}
function redraw(place) {
  list.children[place].replaceWith(drawTurn(talk.turns[place], place));
}
function drawTurn(turn, place) {
  const said = el("div", { class: "play-said" }, el("p", { class: "visually-hidden" }, words.you), el("div", { class: "play-said-text" }, turn.text));
  if (!running) said.append(el("div", { class: "play-said-tools" }, tool("pencil", words.edit, () => editTurn(place)), tool("copy", words.copy, (event) => copy(event, turn.text))));
  const answers = (turn.answers ?? []).map((answer, column) => (turn.nodes ??= [])[column] = drawAnswer(turn, place, column));
  const isDouble = talk.models.length > 1;
  return el("li", { class: `play-turn${isDouble ? " has-two" : ""}` }, said, answers.length ? el("div", { class: `play-answers${isDouble ? " is-double" : ""}` }, ...answers) : null);
}
function drawAnswer(turn, place, column) {
  const answer = turn.answers[column];
  const article = el("article", { class: "play-answer", "aria-label": talk.models[column], "aria-busy": Boolean(answer?.isBusy) });
  if (talk.models.length > 1) article.append(el("p", { class: "play-by" }, talk.models[column]));
  if (!answer) return article;
  const text = el("div", { class: "play-text" });
  if (answer.showsTokens) text.append(tokenView(answer.marks, words, (token) => explain(turn, place, column, token)));
  else if (answer.html && talk.mode === "chat") {
    const markdown = el("div", { class: "markdown" });
    markdown.innerHTML = answer.html;
    text.append(markdown);
  } else if (answer.text) text.append((answer.node = el("div", { class: "play-plain" }, answer.text)));
  article.append(text);
  if (answer.stage) article.append(el("p", { class: "play-stage" }, el("span", { class: "play-spinner", "aria-hidden": "true" }), answer.stage));
  if (answer.error) article.append(alertOf(answer.error));
  if (!answer.isBusy) article.append(foot(turn, place, column, answer), (answer.why ??= el("div", { class: "play-why" })));
  return article;
}
function alertOf(error) {
  const known = error instanceof Refusal;
  const hint = known ? hints[error.code] : "";
  return el("div", { class: "alert alert-danger", role: "alert" }, icon("triangle-alert"), el("div", {}, el("p", {}, known ? error.message || words.failed : words.lost), hint ? el("p", { class: "small" }, hint) : null));
}
function foot(turn, place, column, answer) {
  const facts = [];
  if (answer.tokens) facts.push(fill(words.count, { n: answer.tokens }));
  if (answer.rate) facts.push(fill(words.speed, { n: answer.rate }));
  if (answer.first_s) facts.push(fill(words.firstToken, { n: answer.first_s.toFixed(2) }));
  if (answer.reason === "length") facts.push(words.length);
  if (answer.reason === "stopped") facts.push(words.stopped);
  const isLast = place === talk.turns.length - 1;
  const tools = el("span", { class: "play-tools-row" });
  if (!running) {
    if (answer.text) tools.append(tool("copy", words.copy, (event) => copy(event, answer.text)));
    if (isLast) tools.append(tool("refresh-cw", words.again, () => ask(place, [column])));
    if (isLast && talk.mode === "completion" && talk.models.length === 1 && answer.text) tools.append(tool("corner-down-right", words.goOn, () => begin(turn.text + answer.text)));
    if (answer.marks?.length) tools.append(tool(answer.showsTokens ? "file-text" : "chart-column", answer.showsTokens ? words.text : words.tokens, () => {
      answer.showsTokens = !answer.showsTokens;
      answer.why?.replaceChildren();
      redraw(place);
    }));
  }
  return el("div", { class: "play-facts" }, ...facts.map((fact) => el("span", {}, fact)), tools);
}
async function copy(event, text) {
  const button = event.currentTarget;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return;
  }
  button.querySelector("svg").replaceWith(icon("check"));
  button.querySelector("span").textContent = words.copied;
}
function editTurn(place) {
  const turn = talk.turns[place];
  const field = el("textarea", { class: "input", rows: "3", "aria-label": words.edit });
  field.value = turn.text;
  const box = el("div", { class: "play-edit" }, field, el("div", { class: "row" },
    el("button", { class: "btn btn-primary btn-sm", type: "button", onclick: () => {
      if (!field.value.trim()) return;
      talk.turns.length = place;
      begin(field.value);
    } }, words.save),
    el("button", { class: "btn btn-quiet btn-sm", type: "button", onclick: () => redraw(place) }, words.cancel)));
  list.children[place].querySelector(".play-said").replaceChildren(box);
  grow(field);
  field.addEventListener("input", () => grow(field));
  field.focus();
}

/* Asking. */
function begin(text) {
  readSettings();
  if (talk.mode === "completion") talk.turns = [];
  talk.turns.push({ text, answers: [] });
  ask(talk.turns.length - 1, talk.models.map((_, column) => column));
}
async function ask(place, columns) {
  if (running) return;
  running = new AbortController();
  const turn = talk.turns[place];
  turn.answers ??= [];
  for (let column = 0; column < talk.models.length; column += 1) turn.answers[column] ??= null;
  for (const column of columns) turn.answers[column] = { text: "", isBusy: true, stage: words.asking, marks: [] };
  find("send").hidden = true;
  find("stop").hidden = false;
  draw();
  toEnd(true);
  await Promise.all(columns.map((column) => hear(turn, place, column)));
  running = null;
  find("send").hidden = false;
  find("stop").hidden = true;
  draw();
  find("status").textContent = talk.models.map((_, column) => turn.answers[column]?.text ?? "").join("\n");
  toEnd();
  keep();
}
async function hear(turn, place, column) {
  const answer = turn.answers[column];
  const began = performance.now();
  const times = {};
  try {
    const fields = { csrf_token: form.elements.csrf_token.value, talk: plainTalk(place + 1), column };
    for await (const frame of frames("/playground/ask", fields, running.signal)) take(frame, answer, turn, place, column, times);
    if (!times.done) throw new Refusal(words.failed);
  } catch (error) {
    if (error.name === "AbortError") answer.reason = "stopped";
    else answer.error = error;
    answer.tokens ||= times.count ?? 0;
  }
  const last = times.last ?? performance.now();
  // What an engine takes to start is no part of how fast it answers.
  answer.first_s = times.first ? Math.round(times.first - (times.waited ?? began)) / 1000 : 0;
  answer.rate = answer.tokens > 1 && last > times.first ? Math.round(((answer.tokens - 1) / (last - times.first)) * 10000) / 10 : 0;
  answer.isBusy = false;
  answer.stage = "";
}
function take(frame, answer, turn, place, column, times) {
  if (frame.event === "waiting") times.waited = performance.now();
  if (frame.event === "waiting") setStage(answer, turn, column, stageText(frame, words));
  else if (frame.event === "served") answer.revision = frame.revision;
  else if (frame.event === "start") setStage(answer, turn, column, words.reading);
  else if (frame.event === "delta") {
    times.last = performance.now();
    times.first ??= times.last;
    times.count = (times.count ?? 0) + (frame.count ?? 0);
    answer.text += frame.text;
    if (frame.tokens) answer.marks.push(...frame.tokens);
    if (answer.stage || !answer.node?.isConnected) {
      answer.stage = "";
      const fresh = drawAnswer(turn, place, column);
      turn.nodes[column].replaceWith(fresh);
      turn.nodes[column] = fresh;
      if (answer.node) answer.node.classList.add("is-writing");
    } else answer.node.append(frame.text);
    toEnd();
  } else if (frame.event === "finish") answer.reason = frame.reason;
  else if (frame.event === "rendered") answer.html = frame.html;
  else if (frame.event === "done") {
    times.done = true;
    answer.tokens = frame.completion_tokens;
    answer.prompt_tokens = frame.prompt_tokens;
  }
}
function setStage(answer, turn, column, text) {
  if (answer.stage === text) return;
  answer.stage = text;
  const line = turn.nodes[column].querySelector(".play-stage");
  if (line) line.lastChild.replaceWith(text);
  find("status").textContent = text;
}
function explain(turn, place, column, token) {
  const answer = turn.answers[column];
  const ids = answer.marks.slice(0, token + 1).map((one) => one.id);
  const fields = { csrf_token: form.elements.csrf_token.value, talk: plainTalk(place + 1), column, ids: JSON.stringify(ids) };
  explainInto(answer.why, fields, answer.marks[token], words);
}
async function keep() {
  if (!config.keeps || !talk.turns.some((turn) => turn.answers?.some((answer) => answer?.text))) return;
  try {
    const fields = { csrf_token: form.elements.csrf_token.value, talk: plainTalk(), chat };
    const response = await fetch("/playground/chats", { method: "POST", body: formData(fields), headers: { Accept: "application/json" } });
    if (!response.ok) return;
    const kept = await response.json();
    if (!chat) {
      addToList(kept);
      // Whoever comes back to this page, or loads it again, finds the conversation.
      history.replaceState(null, "", kept.href);
    }
    chat = kept.id;
    sync();
  } catch {
    // The next answer tries again.
  }
}
function addToList(kept) {
  const box = find("chats");
  let shown = box.querySelector("ul");
  if (!shown) box.replaceChildren((shown = el("ul", { class: "play-chats" })));
  shown.prepend(el("li", {}, el("a", { href: kept.href, "aria-current": "page" }, el("span", { class: "truncate" }, kept.title))));
}

/* The page around it. */
// How far the last words lie below the place where they can be read, above the composer.
const composer = form.querySelector(".play-composer");
const below = () => list.getBoundingClientRect().bottom - (innerHeight - composer.offsetHeight - 8);
let follows = true;
addEventListener("scroll", () => {
  follows = below() < 160;
}, { passive: true });
function toEnd(always = false) {
  const distance = below();
  if ((always || follows) && distance > 0) scrollBy({ top: distance });
}
function grow(field) {
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight + 2, innerHeight * 0.5)}px`;
}
function setMode() {
  readSettings();
  form.querySelector("[data-play-system]").hidden = talk.mode !== "chat";
  input.placeholder = input.dataset[talk.mode];
  find("keys").textContent = find("keys").dataset[talk.mode];
  find("send").querySelector("span").textContent = talk.mode === "chat" ? words.send : words.generate;
  if (talk.mode === "completion" && talk.turns.length > 1) talk.turns = talk.turns.slice(-1);
  draw();
}
form.addEventListener("submit", (event) => {
  sync();
  if (event.submitter?.hasAttribute("formaction")) return;
  event.preventDefault();
  const text = input.value;
  if (running || !text.trim()) return;
  input.value = "";
  grow(input);
  begin(text);
});
input.addEventListener("input", () => grow(input));
input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing) return;
  if (talk.mode === "chat" ? !event.shiftKey : event.ctrlKey || event.metaKey) {
    event.preventDefault();
    form.requestSubmit(find("send"));
  }
});
find("stop").addEventListener("click", () => running?.abort());
addEventListener("pagehide", () => running?.abort());
for (const radio of form.querySelectorAll("[data-play-mode]")) radio.addEventListener("change", setMode);
for (const button of form.querySelectorAll("[data-play-prompt]")) {
  button.addEventListener("click", () => {
    input.value = button.dataset.playPrompt;
    grow(input);
    input.focus();
  });
}
for (const slider of form.querySelectorAll("[data-range]")) {
  const field = form.querySelector(`[data-param="${slider.dataset.range}"]`);
  slider.addEventListener("input", () => {
    field.value = slider.value;
    sync();
  });
  field.addEventListener("input", () => {
    slider.value = field.value;
    sync();
  });
}
find("reset").addEventListener("click", () => {
  for (const field of numbers) {
    field.value = config.defaults[field.dataset.param] ?? "";
    field.dispatchEvent(new Event("input"));
  }
  form.querySelector("[data-stop]").value = "";
  sync();
});
find("code").addEventListener("click", async (event) => {
  const dialog = document.getElementById("play-code-dialog");
  if (!dialog?.showModal) return;
  event.preventDefault();
  sync();
  dialog.showModal();
  const body = dialog.querySelector("[data-play-code-body]");
  const fields = formData({ csrf_token: form.elements.csrf_token.value, talk: find("talk").value, text: talk.turns.length ? "" : input.value });
  const response = await fetch("/playground/code", { method: "POST", body: fields, headers: { "HX-Request": "true" } });
  body.innerHTML = await response.text();
});
// Another model takes the same conversation: what the person said stays, answers of models that go do not.
const picks = document.querySelectorAll("[data-play-pick]");
for (const pick of picks) {
  pick.addEventListener("change", () => {
    sessionStorage.setItem(CARRY, plainTalk());
    if (picks[0].value.trim()) document.getElementById("play-choose").submit();
  });
}
function carry() {
  const kept = sessionStorage.getItem(CARRY);
  sessionStorage.removeItem(CARRY);
  if (!kept || talk.turns.length) return;
  const before = JSON.parse(kept);
  talk.turns = before.turns.map((turn) => ({ text: turn.text, answers: talk.models.map((name) => turn.answers[before.models.indexOf(name)] ?? null) }));
  for (const field of numbers) field.value = before.params[field.dataset.param] ?? "";
  form.querySelector("[data-system]").value = before.system;
  if (config.models.every((model) => model.canChat)) form.querySelector(`[data-play-mode][value="${before.mode}"]`).checked = true;
}
carry();
// Below the conversation on small screens, the settings begin closed.
if (matchMedia("(max-width: 60rem)").matches) find("panel").open = false;
const given = new Map();
list.querySelectorAll(".play-answer .markdown").forEach((node, place) => given.set(place, node.innerHTML));
let seen = 0;
for (const turn of talk.turns) for (const answer of turn.answers ?? []) if (answer) answer.html = given.get(seen++);
setMode();
grow(input);
if (!talk.turns.length) input.focus({ preventScroll: true });
