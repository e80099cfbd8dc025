"""Chat templates of unpacked models: the same words, with the answers marked."""

from __future__ import annotations

from jinja2 import Environment

from llmos.lab.outputs.from_gguf import mark_answers

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}"
)
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def test_answers_are_marked_and_nothing_else_changes() -> None:
    marked = mark_answers(CHATML)
    assert marked.count("{% generation %}") == 1
    plain = marked.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    said = [Environment().from_string(text).render(messages=TALK) for text in (CHATML, plain)]
    assert said[0] == said[1]
    assert mark_answers("{{ messages }}") == "{{ messages }}"
