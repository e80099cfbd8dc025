import { ask, onSubmit, pickModel, t } from "./llmos.js";

document.getElementById("text").value = t("A model is not a file: it is something to talk to.", "模型不是一个文件，而是可以交谈的对象。");
document.getElementById("target").value = t("中文", "English");
let models = {};
pickModel(document.getElementById("model"), "translation", "text2text-generation", "text-generation")
  .then((found) => (models = found))
  .catch(() => {});

onSubmit(document.forms[0], async ({ fields, options }) => {
  const [model, text] = [fields.get("model"), fields.get("text")];
  const { task, chat } = models[model] ?? {};
  if (task === "translation") {
    // A model made for it knows one pair of languages, whatever is chosen.
    const result = await ask({ op: "task", model, values: { text } }, options);
    options.onText([result].flat()[0].translation_text);
    return;
  }
  const order = `Translate into ${fields.get("target")}. Answer with the translation only.\n\n${text}`;
  const params = { temperature: 0, max_tokens: 400 };
  if (task === "text2text-generation") {
    const result = await ask({ op: "task", model, values: { text: order } }, options);
    options.onText([result].flat()[0].generated_text);
  } else if (chat) await ask({ op: "chat", model, messages: [{ role: "user", content: order }], params }, options);
  else await ask({ op: "complete", model, prompt: `${order}\n\n${fields.get("target")}:`, params: { ...params, stop: ["\n\n"] } }, options);
});
