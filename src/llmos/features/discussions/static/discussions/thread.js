// Addresses of other programs name a comment by its id alone: "#64f0…" finds it, wherever it stands.
const findComment = () => {
  const id = location.hash.match(/^#(?:comment-)?([0-9a-f]{24})$/)?.[1];
  if (!id) return;
  const comment = document.getElementById(`comment-${id}`);
  if (!comment) {
    const base = location.pathname.match(/^.*\/(?:discussions|forum)\/\d+/)?.[0];
    if (base && !location.search.includes("after=")) location.replace(`${base}/comments/${id}`);
    return;
  }
  comment.closest("details")?.setAttribute("open", "");
  if (!location.hash.startsWith("#comment-")) history.replaceState(history.state, "", `#comment-${id}`);
  comment.scrollIntoView();
};
addEventListener("hashchange", findComment);
findComment();
// The form below a line goes away again; where it was a reply, the page offers it anew.
document.addEventListener("click", (event) => {
  const slot = event.target.closest("[data-line-cancel]")?.closest(".line-form-slot");
  if (slot?.matches("tr")) slot.remove();
  else if (slot) location.reload();
});
