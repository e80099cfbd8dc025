// "#L3-L9" marks a range; shift-click on a line number makes one.
const parseLines = () => location.hash.match(/^#L(\d+)(?:-L(\d+))?$/)?.slice(1).map(Number);
const markLines = (scroll) => {
  for (const row of document.querySelectorAll(".code-lines .is-marked")) row.classList.remove("is-marked");
  const [from, to] = parseLines() ?? [];
  if (!from) return;
  const last = Math.min(to || from, from + 5000);
  for (let line = from; line <= last; line++) {
    document.getElementById(`L${line}`)?.classList.add("is-marked");
  }
  if (scroll && to) document.getElementById(`L${from}`)?.scrollIntoView({ block: "center" });
};
document.addEventListener("click", (event) => {
  const link = event.target.closest?.(".code-number a");
  const [from] = parseLines() ?? [];
  if (!link || !event.shiftKey || !from) return;
  event.preventDefault();
  const ends = [from, Number(link.dataset.line)].sort((a, b) => a - b);
  history.replaceState(null, "", `#L${ends[0]}-L${ends[1]}`);
  markLines(false);
});
addEventListener("hashchange", () => markLines(true));
markLines(true);
