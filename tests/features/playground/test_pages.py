"""The playground's pages without an engine: who sees what, what is kept, shared and refused."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import httpx
import pytest

from features.playground.conftest import MakeModel
from kit.browser import ORIGIN, Browser

CARD = """---
pipeline_tag: {task}
widget:
  - text: "{text}"
    example_title: From the card
---
# A model
"""


def config_of(page: str) -> Any:
    found = re.search(r"data-play data-config='([^']+)'", page)
    assert found is not None, page
    return json.loads(html.unescape(found[1]))


def talk(model: str, *turns: tuple[str, str], **more: Any) -> str:
    said = [
        {"text": text, "answers": [{"text": answer, "tokens": 3, "revision": "0123456789"}]}
        for text, answer in turns
    ]
    return json.dumps({"models": [model], "turns": said, **more})


def post_parts(browser: Browser, path: str, **fields: str) -> httpx.Response:
    """As scripts send: in parts, for more than a line of 64 KiB."""
    parts = {name: (None, value) for name, value in fields.items()}
    parts["csrf_token"] = (None, browser.token("/settings/profile"))
    return browser.client.post(path, files=parts, headers={"origin": ORIGIN})


def test_a_model_with_a_template_chats_and_one_without_goes_on(
    browser: Browser, make_model: MakeModel
) -> None:
    chatty = make_model("chatty", chat=True, card=CARD.format(task="text-generation", text="Hello there"))
    plain = make_model("plain")
    page = browser.get(f"/{chatty}/playground")
    assert page.status_code == 200
    config = config_of(page.text)
    assert config["talk"]["mode"] == "chat"
    assert config["models"] == [{"name": chatty, "href": f"/{chatty}", "canChat": True}]
    assert "From the card" in page.text
    assert not config["keeps"]
    page = browser.get(f"/{plain}/playground")
    assert config_of(page.text)["talk"]["mode"] == "completion"
    assert "base model" in page.text
    both = browser.get(f"/playground?model={chatty}&with={plain}")
    assert config_of(both.text)["talk"]["mode"] == "completion"
    assert config_of(both.text)["talk"]["models"] == [chatty, plain]


def test_choosing_offers_what_one_may_see(ada: Browser, browser: Browser, make_model: MakeModel) -> None:
    seen = make_model("seen", card=CARD.format(task="text-generation", text="x"))
    hidden = make_model("hidden", card=CARD.format(task="text-generation", text="x"), private=True)
    assert seen in browser.get("/playground").text
    assert hidden not in browser.get("/playground").text
    assert hidden in ada.get("/playground").text
    # A private model looks like one that is not there.
    assert browser.get(f"/{hidden}/playground").status_code == 404
    page = browser.get(f"/playground?model={hidden}").text
    other = browser.get("/playground?model=ada/no-such").text
    assert (
        page.replace("hidden", "no-such").count("There is no model") == other.count("There is no model") == 1
    )
    assert browser.get("/datasets/ada/x/playground").status_code == 404


@pytest.mark.parametrize(
    ("architecture", "task", "label"),
    [
        ("BertForMaskedLM", "fill-mask", "Text with a gap"),
        ("BertForQuestionAnswering", "question-answering", "Context"),
        ("BertForSequenceClassification", "zero-shot-classification", "Possible labels"),
        ("BertModel", "sentence-similarity", "Compare it with"),
        ("BertForTokenClassification", "token-classification", "Ada Lovelace"),
    ],
)
def test_the_form_of_a_task_stands_beside_the_card(
    browser: Browser, make_model: MakeModel, architecture: str, task: str, label: str
) -> None:
    name = make_model(f"for-{task}", architecture, card=f"---\npipeline_tag: {task}\n---\n# It\n")
    for path in (f"/{name}", f"/{name}/playground", f"/{name}/embed"):
        page = browser.get(path)
        assert page.status_code == 200, path
        assert "data-try" in page.text, path
        assert label in page.text, path


def test_what_cannot_be_served_says_why(browser: Browser, make_model: MakeModel, rt: Any) -> None:
    name = make_model("adapter", card=CARD.format(task="text-generation", text="x"), weights=False)
    page = browser.get(f"/{name}").text
    assert "It cannot be tried here" in page
    assert "data-try " not in page
    assert "cannot be served" in browser.get(f"/{name}/playground").text


def test_a_frame_of_another_site_may_show_public_models_only(
    browser: Browser, ada: Browser, make_model: MakeModel
) -> None:
    name = make_model("shown", card=CARD.format(task="text-generation", text="x"))
    hidden = make_model("unshown", card=CARD.format(task="text-generation", text="x"), private=True)
    page = browser.get(f"/{name}/embed")
    assert "frame-ancestors *" in page.headers["content-security-policy"]
    assert "x-frame-options" not in page.headers
    # Whoever is signed in sees no more in it than anybody.
    assert ada.get(f"/{hidden}/embed").status_code == 404
    elsewhere = browser.get(f"/{name}/playground").headers
    assert "frame-ancestors 'none'" in elsewhere["content-security-policy"]
    # A frame asks with the ticket of its page, and of no other model's.
    ticket = re.search(r'name="ticket" value="([^"]+)"', page.text)
    other = make_model("other", card=CARD.format(task="text-generation", text="x"))
    assert ticket is not None
    for repo, value in ((name, "forged"), (other, ticket[1])):
        answer = browser.client.post(f"/api/playground/{repo}/embed", data={"ticket": value, "text": "Hi"})
        assert answer.status_code == 403
        assert "out of date" in answer.json()["error"]


def test_conversations_are_kept_for_their_owner(
    ada: Browser, grace: Browser, browser: Browser, make_model: MakeModel
) -> None:
    name = make_model("kept", chat=True)
    first = talk(name, ("What is a model?", "Something to talk to."))
    kept = ada.post("/playground/chats", talk=first).json()
    more = talk(name, ("What is a model?", "Something to talk to."), ("And a token?", "A piece."))
    again = ada.post("/playground/chats", talk=more, chat=kept["id"]).json()
    assert kept["title"] == "What is a model?"
    assert again["id"] == kept["id"]
    page = ada.get(kept["href"])
    assert [turn["text"] for turn in config_of(page.text)["talk"]["turns"]] == [
        "What is a model?",
        "And a token?",
    ]
    assert "A piece." in page.text
    assert config_of(page.text)["chat"] == kept["id"]
    assert grace.get(kept["href"]).status_code == 404
    assert grace.post(kept["href"], action="delete").status_code == 404
    assert grace.post("/playground/chats", talk=more, chat=kept["id"]).status_code == 404
    assert ada.post(kept["href"], action="rename", title="  Of   models ").status_code == 303
    assert "Of models" in ada.get("/playground/chats").text
    assert ada.post(kept["href"], action="rename", title=" ").status_code == 400
    assert ada.post(kept["href"], action="delete").status_code == 303
    assert ada.get(kept["href"]).status_code == 404
    # For visitors nothing is kept.
    refused = browser.post("/playground/chats", f"/{name}/playground", talk=first)
    assert refused.status_code == 401
    assert refused.json()["code"] == "Unauthenticated"
    assert browser.get("/playground/chats").headers["location"].startswith("/login?")


def test_a_link_shows_what_was_shared_until_it_is_revoked(
    ada: Browser, grace: Browser, browser: Browser, make_model: MakeModel
) -> None:
    name = make_model("shared", chat=True)
    words = talk(name, ("Be <b>bold</b>", "**Bold**, and ![a picture](https://evil.example/x.png?secret)"))
    made = ada.post("/playground/share", talk=words)
    href = made.headers["location"]
    assert re.fullmatch(r"/playground/s/[\w-]{24}", href)
    page = browser.get(href)
    assert page.status_code == 200
    assert page.headers["x-robots-tag"] == "noindex, nofollow"
    assert "<strong>Bold</strong>" in page.text
    assert "Be &lt;b&gt;bold&lt;/b&gt;" in page.text
    assert "evil.example" not in page.text
    assert "Revoke" not in page.text
    assert grace.post(href, action="revoke").status_code == 404
    assert "Revoke" in ada.get(href).text
    assert href in ada.get("/playground/chats").text
    assert ada.post(href, action="revoke").status_code == 303
    assert browser.get(href).status_code == 404
    assert (
        browser.post("/playground/share", f"/{name}/playground", talk=words)
        .headers["location"]
        .startswith("/login")
    )
    assert ada.post("/playground/share", talk=talk(name)).status_code == 400


def test_an_exchange_opens_a_discussion(ada: Browser, make_model: MakeModel) -> None:
    name = make_model("discussed", chat=True)
    words = talk(name, ("Who are you?", "A\n\nmodel."), system="Be brief.")
    page = ada.post("/playground/discuss", talk=words)
    assert page.status_code == 200
    assert f'action="/{name}/discussions/new"' in page.text
    for line in (
        "&gt; Who are you?",
        "&gt; A\n&gt;\n&gt; model.",
        "&gt; Be brief.",
        f"**{name} answered** `0123456`",
    ):
        assert line in page.text
    assert ada.post("/playground/discuss", talk=talk("ada/nothing", ("a", "b"))).status_code == 404
    assert ada.post("/playground/discuss", talk=talk("an-endpoint", ("a", "b"))).status_code == 404


def test_code_says_exactly_what_is_on_the_screen(ada: Browser, make_model: MakeModel) -> None:
    name = make_model("coded", chat=True)
    words = talk(name, ("It's “quoted”\nhere", "Yes."), system="Be brief.")
    page = ada.post("/playground/code", talk=words, temperature="0.2", top_k="5", seed="7", stop="\n\nEND")
    code = html.unescape(re.sub(r"<[^>]+>", "", page.text))
    for piece in ('base_url="http://testserver/v1"', f'model="{name}"', "temperature=0.2", "seed=7",
                  '"top_k": 5', '"Be brief."', "It's “quoted”\\nhere", 'stop=["END"]'):  # fmt: skip
        assert piece in code, piece
    assert "presence_penalty" not in code
    program = code[code.index("import os") : code.index("import os", code.index("import os") + 9)]
    compile(program.split("\n\n\n")[0], "openai.py", "exec")


def test_what_does_not_fit_is_named(ada: Browser, make_model: MakeModel) -> None:
    name = make_model("strict", chat=True)
    ask = "/playground/ask"
    for bad, word in (
        ("{", "talk"),
        ('{"models": []}', "models"),
        (talk(name, ("a", "b"), mode="sing"), "mode"),
        (talk(name, ("a", "b"), params={"temperature": 9}), "params.temperature"),
        (talk(name, ("a", "b"), params={"stop": ["x"] * 99}), "params.stop"),
        (talk(name, (" ", "b")), "Write something"),
        (talk(name, *[("x" * 15_000, "y")] * 30), "characters"),
    ):
        answer = post_parts(ada, ask, talk=bad)
        assert answer.status_code == 400, answer.text
        assert word in answer.json()["error"]
    assert ada.post(ask, talk=talk(name, ("a", "b")), column="1").status_code == 400
    ids = ada.post("/playground/explain", talk=talk(name, ("a", "b")), ids='["x"]')
    assert ids.status_code == 400
    assert "ids" in ids.json()["error"]
    empty = ada.post(f"/{name}/playground", text="  ")
    assert empty.status_code == 400
    assert "Write something" in empty.text
    assert ada.post(f"/{name}/playground", text="Hi", temperature="hot").status_code == 400
