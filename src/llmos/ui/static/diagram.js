// Diagrams are drawn by Mermaid inside a sandboxed frame of no origin; what comes back is shown as a
// picture, in which nothing can run. The source stays below it.
const MAX_CHARS = 20000;
const url = "/-/diagram";
let frame;
let counter = 0;
const waiting = new Map();

const openFrame = () => {
  frame ??= new Promise((done) => {
    const element = document.createElement("iframe");
    element.className = "diagram-frame";
    element.setAttribute("sandbox", "allow-scripts");
    element.setAttribute("aria-hidden", "true");
    element.tabIndex = -1;
    element.title = "";
    addEventListener("message", ({ source, data }) => {
      if (source !== element.contentWindow) return;
      if (data === "ready") done(element.contentWindow);
      else waiting.get(data?.id)?.(data);
    });
    element.src = url;
    document.body.append(element);
  });
  return frame;
};

const isDark = () => getComputedStyle(document.documentElement).colorScheme === "dark";

const drawDiagram = async (block) => {
  const source = block.querySelector("code").textContent;
  if (source.length > MAX_CHARS) return;
  const target = await openFrame();
  const id = ++counter;
  const answer = await new Promise((done) => {
    waiting.set(id, done);
    target.postMessage({ id, source, dark: isDark() }, "*");
  });
  waiting.delete(id);
  if (typeof answer.svg !== "string") return;
  let figure = block.closest(".diagram-figure");
  if (!figure) {
    figure = document.createElement("figure");
    figure.className = "diagram-figure";
    const details = document.createElement("details");
    details.append(Object.assign(document.createElement("summary"), { textContent: document.body.dataset.diagramSource ?? "Mermaid" }));
    block.replaceWith(figure);
    details.append(block);
    figure.append(document.createElement("img"), details);
  }
  const image = figure.querySelector("img");
  image.alt = String(answer.title || source.trim().split("\n", 1)[0]).slice(0, 200);
  image.width = Math.min(Math.max(Math.ceil(answer.width) || 300, 20), 4000);
  image.height = Math.min(Math.max(Math.ceil(answer.height) || 150, 20), 4000);
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(answer.svg)}`;
};

const drawAll = async (root) => {
  for (const block of [...(root.querySelectorAll?.("pre.diagram") ?? [])].slice(0, 50)) await drawDiagram(block);
};
drawAll(document);
document.addEventListener("htmx:load", (event) => drawAll(event.detail?.elt ?? event.target));
const again = () => drawAll(document);
new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
