// [data-job-log]: the log of a running job goes on by server-sent events, after the last line shown.
// The view follows the end while the reader is there. The page is loaded again when the job ends.
const MAX_LINES = 5000;
const box = document.querySelector("[data-job-log]");
const toEnd = () => {
  box.scrollTop = box.scrollHeight;
};
const add = ({ data, stream }) => {
  const follows = box.scrollTop + box.clientHeight >= box.scrollHeight - 40;
  box.querySelector("[data-empty]")?.remove();
  const line = document.createElement("div");
  line.className = `job-line job-${stream === "stderr" || stream === "system" ? stream : "stdout"}`;
  line.textContent = data;
  box.append(line);
  while (box.childElementCount > MAX_LINES) box.firstElementChild.remove();
  if (follows) toEnd();
};
if (box) toEnd();
if (box?.dataset.jobLog) {
  const source = new EventSource(`${box.dataset.jobLog}?after=${encodeURIComponent(box.dataset.after)}`);
  source.addEventListener("message", (event) => add(JSON.parse(event.data)));
  addEventListener("pagehide", () => source.close());
  // The part above asks the hub by itself; once it says that the job is over, all is said.
  const final = new Set(["succeeded", "failed", "canceled", "timed_out"]);
  const watch = new MutationObserver(() => {
    if (!final.has(document.querySelector("#job-live")?.dataset.jobState)) return;
    watch.disconnect();
    // The last lines arrive, then the page shows what was made.
    setTimeout(() => {
      source.close();
      location.reload();
    }, 2000);
  });
  watch.observe(document.querySelector(".job-main"), { childList: true, subtree: true });
}
