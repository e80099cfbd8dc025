import { ask, onSubmit, pickModel, t } from "./llmos.js";

// What a model is given of a long text, in characters.
const MOST_READ = 8000;
let models = {};
pickModel(document.getElementById("model"), "summarization", "text2text-generation", "text-generation")
  .then((found) => (models = found))
  .catch(() => {});

onSubmit(document.forms[0], async ({ fields, options }) => {
  const [model, text] = [fields.get("model"), fields.get("text").slice(0, MOST_READ)];
  const { task, chat } = models[model] ?? {};
  if (task === "summarization") {
    const result = await ask({ op: "task", model, values: { text } }, options);
    options.onText([result].flat()[0].summary_text);
    return;
  }
  const order = `${t("Summarise this text in three sentences.", "用三句话概括下面的文字。")}\n\n${text}`;
  const params = { temperature: 0.3, max_tokens: 250 };
  if (task === "text2text-generation") {
    const result = await ask({ op: "task", model, values: { text: order } }, options);
    options.onText([result].flat()[0].generated_text);
  } else if (chat) await ask({ op: "chat", model, messages: [{ role: "user", content: order }], params }, options);
  else await ask({ op: "complete", model, prompt: `${text}\n\n${t("In short:", "概括：")}`, params }, options);
});
