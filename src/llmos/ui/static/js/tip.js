// Escape hides a tooltip until the pointer or focus leaves (WCAG 1.4.13).
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const tip of document.querySelectorAll("[data-tip]:hover, [data-tip]:focus-within")) {
    tip.classList.add("is-dismissed");
    for (const type of ["pointerleave", "focusout"]) {
      tip.addEventListener(type, () => tip.classList.remove("is-dismissed"), { once: true });
    }
  }
});
