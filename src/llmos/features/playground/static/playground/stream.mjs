// Asking the instance: frames come as lines of JSON. Shared by the playground and the forms of tasks.

export class Refusal extends Error {
  constructor(message, code = "", status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

// Yields each frame; throws Refusal where the instance, or the engine in mid-answer, says no.
export async function* frames(url, fields, signal) {
  const answer = await fetch(url, {
    method: "POST",
    body: formData(fields),
    signal,
    headers: { Accept: "application/x-ndjson" },
  });
  if (!answer.ok || !answer.headers.get("Content-Type")?.startsWith("application/x-ndjson")) throw await refusal(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line) continue;
      const frame = JSON.parse(line);
      if (frame.event === "error") throw new Refusal(frame.message, frame.code, frame.status);
      yield frame;
    }
  }
}

// As parts, not encoded into one line: Chinese would grow to nine times its size.
export function formData(fields) {
  if (fields instanceof FormData) return fields;
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  return data;
}

export async function refusal(answer) {
  let said = {};
  try {
    said = await answer.json();
  } catch {
    // A proxy may answer with a page of its own.
  }
  return new Refusal(said.error ?? `${answer.status} ${answer.statusText}`, said.code ?? "", answer.status);
}

export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

// "Reading the weights · 12 s", "Waiting for its turn · place 3 in the queue".
export function stageText(frame, words) {
  const parts = [words[frame.stage] ?? words.asking];
  if (frame.position) parts.push(fill(words.place, { n: frame.position }));
  if (frame.elapsed_s >= 1) parts.push(fill(words.seconds, { n: Math.round(frame.elapsed_s) }));
  return parts.join(" · ");
}

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("aria-")) node.setAttribute(name, value);
    else if (value === false) continue;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
