// [data-chart]: the drawn lines become a chart to zoom by dragging and read with the pointer. uPlot
// is fetched when the first such chart comes into view.
let loading;
const loadScript = (url) =>
  new Promise((done, fail) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = done;
    script.onerror = fail;
    document.head.append(script);
  });
const load = (figure) => {
  loading ??= (() => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = figure.dataset.uplotCss;
    document.head.append(style);
    return loadScript(figure.dataset.uplot);
  })();
  return loading;
};

const draw = (figure) => {
  const plane = figure.querySelector(".chart-plane");
  const data = JSON.parse(figure.querySelector("[data-chart-data]").dataset.chartData);
  const token = (name, element = figure) => getComputedStyle(element).getPropertyValue(name).trim();
  const axis = () => ({
    stroke: token("--ink-3"),
    grid: { stroke: token("--line"), width: 1 },
    ticks: { stroke: token("--line"), width: 1 },
    font: `11px ${token("--font")}`,
  });
  const lines = figure.querySelectorAll(".chart-line, .chart-zoom-colour");
  const colours = [...lines].map((line) => token("--series", line));
  const dashes = [...lines].map((line) => (getComputedStyle(line).strokeDasharray === "none" ? undefined : [7, 4]));
  const options = {
    width: plane.clientWidth,
    height: plane.clientHeight - 34,
    scales: { x: { time: false } },
    // Learning rates are small: their marks need as many digits as tell them apart.
    axes: [axis(), { ...axis(), size: 56, values: (_, ticks) => ticks.map((tick) => String(+tick.toPrecision(6))) }],
    cursor: { drag: { x: true, y: false } },
    legend: { live: true },
    series: [
      { label: data.name },
      ...data.labels.map((label, index) => ({
        label,
        stroke: colours[index],
        dash: dashes[index],
        width: 2,
        spanGaps: true,
      })),
    ],
  };
  const holder = document.createElement("div");
  holder.className = "chart-zoom";
  holder.title = figure.dataset.reset;
  plane.append(holder);
  const chart = new window.uPlot(options, [data.x.map(Number), ...data.series], holder);
  for (const child of [...plane.children]) if (child !== holder) child.hidden = true;
  plane.querySelector(".chart-svg").style.display = "none";
  const resize = new ResizeObserver(() => chart.setSize({ width: plane.clientWidth, height: options.height }));
  resize.observe(plane);
  return () => {
    resize.disconnect();
    chart.destroy();
    holder.remove();
  };
};

const start = (figure) => {
  if (figure.dataset.ready) return;
  figure.dataset.ready = "yes";
  let remove;
  const redraw = () => {
    remove?.();
    remove = draw(figure);
  };
  const seen = new IntersectionObserver(async (entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    await load(figure).then(redraw, () => {});
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  });
  seen.observe(figure);
};
const startAll = (root) => root.querySelectorAll?.("[data-chart]").forEach(start);
startAll(document);
document.addEventListener("htmx:load", (event) => startAll(event.detail?.elt ?? event.target));
