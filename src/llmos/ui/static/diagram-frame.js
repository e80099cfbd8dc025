// Runs in a sandboxed frame without origin: text of a diagram in, SVG text out.
import mermaid from "./vendor/mermaid/mermaid.esm.min.mjs";

addEventListener("message", async ({ source, data }) => {
  if (source !== parent || typeof data?.source !== "string") return;
  const id = `diagram-${Number(data.id)}`;
  mermaid.initialize({
    startOnLoad: false,
    securityLevel: "strict",
    htmlLabels: false,
    flowchart: { htmlLabels: false },
    theme: data.dark ? "dark" : "neutral",
    fontFamily: "system-ui, sans-serif",
    suppressErrorRendering: true,
  });
  try {
    const { svg } = await mermaid.render(id, data.source);
    const parsed = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
    const [, , width, height] = (parsed.getAttribute("viewBox") ?? "").split(/[\s,]+/).map(Number);
    parsed.setAttribute("width", String(width || 300));
    parsed.setAttribute("height", String(height || 150));
    const title = parsed.querySelector("title")?.textContent ?? "";
    parent.postMessage({ id: data.id, svg: new XMLSerializer().serializeToString(parsed), width, height, title }, "*");
  } catch (error) {
    parent.postMessage({ id: data.id, error: String(error?.message ?? error).slice(0, 500) }, "*");
  }
});
parent.postMessage("ready", "*");
