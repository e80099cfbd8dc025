import { ask, onSubmit, pickModel, t } from "./llmos.js";

const text = document.getElementById("text");
text.value = t("I like this more with every day that I use it.", "用得越久，我越喜欢它。");
pickModel(document.getElementById("model"), "text-classification").catch(() => {});

onSubmit(document.forms[0], async ({ fields, answer, options }) => {
  const values = { text: fields.get("text") };
  const result = await ask({ op: "task", model: fields.get("model"), values }, options);
  // One text: its labels come as a list, or as a list in a list.
  const labels = Array.isArray(result[0]) ? result[0] : result;
  const list = document.createElement("ul");
  list.className = "bars";
  for (const { label, score } of labels) {
    const line = document.createElement("span");
    line.append(label, `${(100 * score).toFixed(1)} %`);
    const bar = Object.assign(document.createElement("progress"), { max: 1, value: score });
    bar.setAttribute("aria-label", label);
    const item = document.createElement("li");
    item.append(line, bar);
    list.append(item);
  }
  answer.replaceChildren(list);
});
