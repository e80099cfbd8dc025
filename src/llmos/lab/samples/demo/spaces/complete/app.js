import { ask, onSubmit, pickModel, t } from "./llmos.js";

const text = document.getElementById("text");
text.value = t("It was a bright morning, and", "春天来了，");
pickModel(document.getElementById("model"), "text-generation").catch(() => {});

onSubmit(document.forms[0], async ({ fields, answer, options }) => {
  const prompt = fields.get("text");
  answer.append(prompt);
  const params = { temperature: Number(fields.get("temperature")), max_tokens: Number(fields.get("most")) };
  await ask({ op: "complete", model: fields.get("model"), prompt, params }, options);
});
