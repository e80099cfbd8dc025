// [data-upload-form]: the ordinary form, sent with a progress bar; dropped folders keep their paths.
const readEntry = async (entry, prefix = "") => {
  if (entry.isFile) {
    const file = await new Promise((done, fail) => entry.file(done, fail));
    return [{ file, path: prefix + file.name }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // A folder is read in portions until an empty one.
    const part = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!part.length) return found;
    for (const child of part) found.push(...(await readEntry(child, `${prefix}${entry.name}/`)));
  }
};
for (const form of document.querySelectorAll("[data-upload-form]")) {
  const area = form.querySelector("[data-file-drop]");
  const input = area.querySelector("input[type=file]");
  const progress = form.querySelector("[data-upload-progress]");
  const bar = progress.querySelector("progress");
  const label = progress.querySelector(".progress-head span");
  const error = form.querySelector("[data-upload-error]");
  const button = form.querySelector("[type=submit]");
  let files = [];
  input.addEventListener("change", () => {
    files = [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  });
  area.addEventListener("drop", async (event) => {
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    files = [...event.dataTransfer.files].map((file) => ({ file, path: file.name }));
    if (!entries.some((entry) => entry.isDirectory)) return;
    const found = [];
    for (const entry of entries) found.push(...(await readEntry(entry)));
    files = found;
    const list = area.querySelector("[data-file-list]");
    list.replaceChildren(...found.slice(0, 200).map(({ path }) => Object.assign(document.createElement("li"), { textContent: path })));
  });
  const fail = (text) => {
    error.querySelector("p").textContent = text;
    error.hidden = false;
    progress.hidden = true;
    button.disabled = false;
  };
  form.addEventListener("submit", (event) => {
    if (!files.length) return;
    event.preventDefault();
    const body = new FormData(form);
    body.delete(input.name);
    for (const { file, path } of files) body.append(input.name, file, path);
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("X-Requested-With", "upload");
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      bar.max = total;
      bar.value = loaded;
      label.textContent = `${loaded < total ? form.dataset.sending : form.dataset.storing} ${Math.floor((loaded / total) * 100)} %`;
    });
    request.addEventListener("load", () => {
      if (request.status === 200 && request.response?.location) location.assign(request.response.location);
      else fail(request.response?.error || form.dataset.failed);
    });
    request.addEventListener("error", () => fail(form.dataset.failed));
    error.hidden = true;
    progress.hidden = false;
    button.disabled = true;
    request.send(body);
  });
}
