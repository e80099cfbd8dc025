// Dropped or chosen files: listed, and announced as "llmos:files" for whoever sends them.
const showFiles = (area, files) => {
  area.querySelector("[data-file-list]").replaceChildren(
    ...files.map((file) => {
      const item = document.createElement("li");
      const name = document.createElement("span");
      const size = document.createElement("span");
      name.textContent = file.webkitRelativePath || file.name;
      size.textContent = `${(file.size / 1e6).toFixed(file.size < 1e5 ? 3 : 1)} MB`;
      size.className = "muted";
      item.append(name, size);
      return item;
    }),
  );
  area.dispatchEvent(new CustomEvent("llmos:files", { bubbles: true, detail: { files } }));
};
for (const area of document.querySelectorAll("[data-file-drop]")) {
  const input = area.querySelector("input[type=file]");
  input.addEventListener("change", () => showFiles(area, [...input.files]));
  area.addEventListener("dragover", (event) => {
    event.preventDefault();
    area.classList.add("is-over");
  });
  area.addEventListener("dragleave", () => area.classList.remove("is-over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("is-over");
    input.files = event.dataTransfer.files;
    showFiles(area, [...input.files]);
  });
}
