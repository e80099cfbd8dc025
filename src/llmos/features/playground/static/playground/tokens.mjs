// The token view: an answer in the pieces it was written in, coloured by how sure the model was.
import { el, fill, formData, refusal } from "./stream.mjs";

const STEPS = 8;
const NATS_PER_BIT = Math.LN2;
const percent = (logprob) => {
  const value = Math.exp(logprob) * 100;
  return `${value >= 99.95 ? 100 : value >= 1 ? value.toFixed(1) : value.toPrecision(1)} %`;
};

// Tokens may end within a character: it is shown with the last of them, the others are dots.
function readable(tokens) {
  const decoder = new TextDecoder();
  return tokens.map((token) => {
    const bytes = token.bytes?.length ? new Uint8Array(token.bytes) : null;
    return bytes ? decoder.decode(bytes, { stream: true }) : token.text;
  });
}

// A piece of a character has no letter of its own: its bytes stand for it.
const nameOf = (token) => (token.text.includes("\ufffd") && token.bytes?.length ? `<${token.bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}>` : token.text);
const visible = (text) => (text === "" ? "·" : text.replace(/\n/g, "↵\n").replace(/\t/g, "⇥\t"));
const quoted = (text) => (text.trim() === "" ? JSON.stringify(text).slice(1, -1).replace(/ /g, "␣") || "·" : text);

const levelOf = {
  entropy: (token) => Math.min(STEPS - 1, Math.floor(((token.entropy ?? 0) / NATS_PER_BIT / 6) * STEPS)),
  chance: (token) => (token.logprob === null ? 0 : Math.min(STEPS - 1, Math.floor((-token.logprob / 5) * STEPS))),
};

export function tokenView(tokens, words, explain) {
  const texts = readable(tokens);
  const root = el("div", { class: "tok-view" });
  let by = "entropy";
  const note = el("div", { class: "tok-note", "aria-live": "polite" }, el("p", { class: "small muted" }, words.whyHint));
  const spans = tokens.map((token, place) =>
    el("span", { class: "tok", role: "button", tabindex: place ? "-1" : "0", "data-place": place, "aria-label": labelOf(place) }, visible(texts[place])),
  );
  function labelOf(place) {
    const token = tokens[place];
    return token.logprob === null ? quoted(texts[place] || nameOf(token)) : `${quoted(texts[place] || nameOf(token))}, ${percent(token.logprob)}`;
  }
  const paint = () => {
    spans.forEach((span, place) => (span.className = `tok tok-${levelOf[by](tokens[place])}${span.getAttribute("aria-current") ? " is-current" : ""}`));
    legend.replaceChildren(
      el("span", {}, by === "entropy" ? words.sure : words.likely),
      el("span", { class: "tok-scale", "aria-hidden": "true" }, ...Array.from({ length: STEPS }, (_, step) => el("i", { class: `tok-${step}` }))),
      el("span", {}, by === "entropy" ? words.unsure : words.surprising),
      perplexity(),
    );
  };
  function perplexity() {
    const known = tokens.filter((token) => token.logprob !== null);
    const mean = known.reduce((sum, token) => sum + token.logprob, 0) / (known.length || 1);
    return el("span", { class: "tok-sum" }, fill(words.perplexity, { n: Math.exp(-mean).toPrecision(3) }));
  }
  const legend = el("p", { class: "tok-legend small" });
  const choice = el("div", { class: "tok-by", role: "group" },
    ...["entropy", "chance"].map((name) =>
      el("button", { class: "tok-choice", type: "button", "aria-pressed": name === by, onclick: (event) => {
        by = name;
        for (const one of choice.children) one.setAttribute("aria-pressed", one === event.currentTarget);
        paint();
      } }, name === "entropy" ? words.byEntropy : words.byChance)),
  );
  const text = el("div", { class: "tok-text" }, ...spans);
  const look = (place) => {
    for (const span of spans) span.removeAttribute("aria-current");
    spans[place].setAttribute("aria-current", "true");
    paint();
    note.replaceChildren(details(place));
  };
  function details(place) {
    const token = tokens[place];
    const top = token.top ?? [];
    const rank = top.findIndex((one) => one.id === token.id);
    const rows = rank < 0 && token.logprob !== null ? [...top.slice(0, 7), { ...token, isBeyond: true }] : top.slice(0, 8);
    return el("div", { class: "tok-details" },
      el("p", { class: "tok-head" },
        el("strong", { class: "mono" }, quoted(texts[place] || nameOf(token))),
        token.logprob === null ? null : el("span", {}, percent(token.logprob)),
        token.logprob === null ? null : el("span", {}, rank < 0 ? fill(words.beyond, { n: top.length }) : fill(words.rank, { n: rank + 1 })),
        el("span", {}, fill(words.entropy, { n: ((token.entropy ?? 0) / NATS_PER_BIT).toFixed(2) })),
        el("button", { class: "btn btn-secondary btn-sm", type: "button", onclick: () => explain(place) }, words.why)),
      el("ul", { class: "tok-bars", "aria-label": words.others },
        ...rows.map((one) => {
          const bar = el("span", { class: "tok-bar", "aria-hidden": "true" });
          bar.style.setProperty("--share", `${Math.exp(one.logprob) * 100}%`);
          return el("li", { class: one.id === token.id ? "is-chosen" : "" }, el("span", { class: "tok-bar-text mono" }, quoted(nameOf(one))), bar, el("span", { class: "tok-bar-value" }, percent(one.logprob)));
        })),
    );
  }
  text.addEventListener("mouseover", (event) => {
    const span = event.target.closest("[data-place]");
    if (span) look(Number(span.dataset.place));
  });
  text.addEventListener("focusin", (event) => look(Number(event.target.dataset.place)));
  text.addEventListener("click", (event) => {
    const span = event.target.closest("[data-place]");
    if (span) explain(Number(span.dataset.place));
  });
  text.addEventListener("keydown", (event) => {
    const place = Number(event.target.dataset.place);
    const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: spans.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      explain(place);
    } else if (spans[next]) {
      event.preventDefault();
      spans[place].tabIndex = -1;
      spans[next].tabIndex = 0;
      spans[next].focus();
    }
  });
  const table = el("details", { class: "tok-table" }, el("summary", { class: "small" }, words.tokenTable));
  table.addEventListener("toggle", () => {
    if (table.open && !table.querySelector("table")) table.append(tokenTable(tokens, texts, words));
  });
  root.append(el("div", { class: "tok-bar-row" }, choice, legend), text, note, table);
  paint();
  return root;
}

function tokenTable(tokens, texts, words) {
  const rows = tokens.map((token, place) =>
    el("tr", {},
      el("th", { scope: "row", class: "mono" }, quoted(texts[place])),
      el("td", {}, token.logprob === null ? "–" : percent(token.logprob)),
      el("td", {}, ((token.entropy ?? 0) / NATS_PER_BIT).toFixed(2)),
      el("td", { class: "mono" }, (token.top ?? []).filter((one) => one.id !== token.id).slice(0, 3).map((one) => `${quoted(nameOf(one))} ${percent(one.logprob)}`).join(", "))));
  return scrolled(el("table", { class: "table table-dense" },
    el("caption", { class: "visually-hidden" }, words.tokenTable),
    el("thead", {}, el("tr", {}, ...[words.token, words.chance, fill(words.entropy, { n: "" }), words.others].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows)));
}

const scrolled = (table) => el("div", { class: "table-scroll tok-scroll", tabindex: "0" }, table);

// Why a token was written: asks the instance, then draws influence on the text and attention by layer.
export async function explainInto(box, fields, token, words) {
  const close = el("button", { class: "btn btn-quiet btn-sm", type: "button", onclick: () => box.replaceChildren() }, words.close);
  const head = (text) => el("div", { class: "why-head" }, el("h2", {}, text), close);
  const title = fill(words.explainTitle, { token: quoted(nameOf(token)).trim() });
  box.replaceChildren(el("section", { class: "why card" }, head(title), el("p", { class: "play-stage" }, el("span", { class: "play-spinner", "aria-hidden": "true" }), words.explaining)));
  let answer;
  try {
    const response = await fetch("/playground/explain", { method: "POST", body: formData(fields), headers: { Accept: "application/json" } });
    if (!response.ok) throw await refusal(response);
    answer = await response.json();
  } catch (error) {
    box.replaceChildren(el("section", { class: "why card" }, head(title), el("div", { class: "alert alert-danger", role: "alert" }, el("div", {}, error.message || words.failed))));
    return;
  }
  const section = el("section", { class: "why card", tabindex: "-1" }, head(title), ...drawing(answer, words));
  box.replaceChildren(section);
  section.focus({ preventScroll: true });
}

function drawing({ result, prompt_count: promptCount }, words) {
  const tokens = result.tokens.slice(0, result.gradient.length);
  const texts = readable(tokens);
  const layers = result.attention;
  const mean = tokens.map((_, place) => layers.reduce((sum, row) => sum + (row[place] ?? 0), 0) / (layers.length || 1));
  let kind = "gradient";
  let layer = 0;
  const spans = texts.map((text, place) => el("span", { class: `why-tok${place < promptCount ? " is-prompt" : ""}` }, visible(text)));
  const hint = el("p", { class: "field-hint" });
  const paint = () => {
    const values = kind === "gradient" ? result.gradient : layer ? layers[layer - 1] : mean;
    // The first token draws attention whatever it is: it does not set the scale.
    const scaled = kind === "gradient" ? values : values.slice(1);
    const largest = Math.max(...scaled.map(Math.abs), 1e-9);
    spans.forEach((span, place) => {
      const share = Math.min(1, Math.abs(values[place] ?? 0) / largest);
      span.style.setProperty("--share", `${Math.round(Math.sqrt(share) * 45)}%`);
      span.classList.toggle("is-against", kind === "gradient" && values[place] < 0);
      span.title = (values[place] ?? 0).toPrecision(3);
    });
    hint.textContent = kind === "gradient" ? words.gradientHint : words.attentionHint;
    slider.hidden = heat.hidden = kind === "gradient";
  };
  const heat = el("canvas", { class: "why-heat", role: "img", "aria-label": words.heat, width: tokens.length, height: layers.length || 1 });
  const layerName = el("output", {}, words.allLayers);
  const slider = el("div", { class: "why-layer small" }, layerName, el("input", { class: "play-range", type: "range", "aria-label": words.allLayers, min: 0, max: layers.length, value: 0, oninput: (event) => {
    layer = Number(event.target.value);
    layerName.textContent = layer ? fill(words.layer, { n: layer }) : words.allLayers;
    paint();
  } }));
  const choice = el("div", { class: "tok-by", role: "group" }, ...["gradient", "attention"].map((name) =>
    el("button", { class: "tok-choice", type: "button", "aria-pressed": name === kind, onclick: (event) => {
      kind = name;
      for (const one of choice.children) one.setAttribute("aria-pressed", one === event.currentTarget);
      paint();
      drawHeat(heat, layers);
    } }, words[name])));
  const table = el("details", { class: "tok-table" }, el("summary", { class: "small" }, words.explainTable),
    scrolled(el("table", { class: "table table-dense" }, el("caption", { class: "visually-hidden" }, words.explainTable),
      el("thead", {}, el("tr", {}, ...[words.token, words.gradient, words.attention].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...texts.map((text, place) => el("tr", {}, el("th", { scope: "row", class: "mono" }, quoted(text)), el("td", {}, result.gradient[place].toPrecision(3)), el("td", {}, mean[place].toPrecision(3))))))));
  paint();
  return [choice, hint, el("div", { class: "why-text" }, ...spans), slider, heat, table];
}

function drawHeat(canvas, layers) {
  const context = canvas.getContext("2d");
  const colour = getComputedStyle(canvas).getPropertyValue("color");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = colour;
  layers.forEach((row, line) => {
    const largest = Math.max(...row.slice(1), 1e-9);
    row.forEach((value, place) => {
      context.globalAlpha = Math.sqrt(Math.min(1, value / largest));
      context.fillRect(place, line, 1, 1);
    });
  });
}
