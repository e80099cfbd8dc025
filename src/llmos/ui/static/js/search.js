// "/" goes to the search field. With data-suggest (a URL answering [{"label","href"}]) it
// suggests while typing; arrow keys choose.
const searchInput = document.querySelector("[data-search-input]");
const searchForm = searchInput?.form;
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  event.preventDefault();
  searchInput?.focus();
});
if (searchForm?.dataset.suggest) {
  const list = document.createElement("ul");
  list.className = "suggestions";
  list.id = "suggestions";
  list.role = "listbox";
  list.hidden = true;
  searchForm.append(list);
  searchInput.role = "combobox";
  searchInput.setAttribute("aria-controls", list.id);
  searchInput.setAttribute("aria-expanded", "false");
  let timer;
  let asked = 0;
  const show = (items) => {
    list.replaceChildren(
      ...items.map(({ label, href }, index) => {
        const item = document.createElement("li");
        const link = document.createElement("a");
        link.href = href;
        link.textContent = label;
        link.tabIndex = -1;
        item.role = "option";
        item.id = `suggestion-${index}`;
        item.append(link);
        return item;
      }),
    );
    list.hidden = items.length === 0;
    searchInput.setAttribute("aria-expanded", String(!list.hidden));
    searchInput.removeAttribute("aria-activedescendant");
  };
  searchInput.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const mine = ++asked;
      const query = searchInput.value.trim();
      if (query.length < 2) return show([]);
      const url = `${searchForm.dataset.suggest}?q=${encodeURIComponent(query)}`;
      const answer = await fetch(url).catch(() => null);
      if (mine === asked && answer?.ok) show(await answer.json());
    }, 150);
  });
  searchInput.addEventListener("keydown", (event) => {
    const items = [...list.children];
    const at = items.findIndex((item) => item.ariaSelected === "true");
    if (event.key === "Escape") return show([]);
    if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      items[at].firstChild.click();
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    if (!items.length) return;
    event.preventDefault();
    const next = items[(at + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length];
    for (const item of items) item.ariaSelected = String(item === next);
    searchInput.setAttribute("aria-activedescendant", next.id);
  });
  searchForm.addEventListener("focusout", (event) => {
    if (!searchForm.contains(event.relatedTarget)) show([]);
  });
}
