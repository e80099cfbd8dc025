// Loaded on pages with maths only, after KaTeX. Sets every .math element from its own text.
const setMaths = (root) => {
  for (const element of root.querySelectorAll(".math:not(.is-set)")) {
    const source = element.textContent;
    element.classList.add("is-set");
    window.katex.render(source, element, {
      displayMode: element.classList.contains("math-block"),
      throwOnError: false,
      trust: false,
      maxSize: 20,
      maxExpand: 500,
    });
  }
};
setMaths(document);
document.addEventListener("htmx:load", (event) => setMaths(event.detail?.elt ?? event.target));
