// Tab indents in [data-editor]; Escape first, then Tab leaves it, so that the keyboard is no trap.
for (const area of document.querySelectorAll("[data-editor]")) {
  let isLeaving = false;
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") isLeaving = true;
    else if (event.key === "Tab" && !event.shiftKey && !isLeaving) {
      event.preventDefault();
      area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
    } else isLeaving = false;
  });
}
