import { ask, onSubmit, pickModel, t } from "./llmos.js";

// What a model that writes is given of a long text, in characters.
const MOST_READ = 6000;
const context = document.getElementById("context");
const stage = document.querySelector("[data-stage]");
context.value = t(
  "Grace trains language models. She works in a small laboratory in Hangzhou.",
  "格蕾丝训练语言模型。她在杭州的一间小实验室工作。",
);
document.getElementById("question").value = t("Where does Grace work?", "格蕾丝在哪里工作？");
let models = {};
pickModel(document.getElementById("model"), "question-answering", "text-generation", "text2text-generation")
  .then((found) => (models = found))
  .catch(() => {});

document.getElementById("fetch").addEventListener("click", async () => {
  stage.className = "";
  try {
    const text = await ask({ op: "readme", repo: document.getElementById("repo").value.trim() });
    context.value = text.replace(/^---\n[\s\S]*?\n---\n/, "").trim();
    stage.textContent = "";
  } catch (error) {
    stage.textContent = error.message;
    stage.className = "error";
  }
});

// A model made for it points at a place in the text.
async function extract(model, fields, answer, options) {
  const values = { question: fields.get("question"), context: fields.get("context") };
  const result = await ask({ op: "task", model, values }, options);
  const best = Array.isArray(result) ? result[0] : result;
  const found = document.createElement("mark");
  found.textContent = best.answer;
  const before = values.context.slice(Math.max(0, best.start - 80), best.start);
  answer.replaceChildren(before, found, values.context.slice(best.end, best.end + 80));
  answer.append(`\n\n${(100 * best.score).toFixed(1)} %`);
}

// Any other model is told what to do.
async function write(model, fields, options) {
  const text = fields.get("context").slice(0, MOST_READ);
  const prompt = `${t("Answer the question from this text only.", "只根据下面的文字回答问题。")}\n\n${text}\n\n${t("Question:", "问题：")} ${fields.get("question")}\n${t("Answer:", "回答：")}`;
  const params = { temperature: 0, max_tokens: 200 };
  if (models[model]?.task === "text2text-generation") {
    const result = await ask({ op: "task", model, values: { text: prompt } }, options);
    options.onText([result].flat()[0].generated_text);
  } else if (models[model]?.chat) await ask({ op: "chat", model, messages: [{ role: "user", content: prompt }], params }, options);
  else await ask({ op: "complete", model, prompt, params }, options);
}

onSubmit(document.forms[0], async ({ fields, answer, options }) => {
  const model = fields.get("model");
  if (models[model]?.task === "question-answering") await extract(model, fields, answer, options);
  else await write(model, fields, options);
});
