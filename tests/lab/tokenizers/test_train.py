"""Trained tokenizers give texts back, serve transformers, and say what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from llmos.lab.data.encode import PIECE_CHARS, iter_token_ids, pieces
from llmos.lab.data.errors import DataError
from llmos.lab.recipes.schema import TrainTokenizer
from llmos.lab.samples import sample
from llmos.lab.tokenizers.compare import as_table, by_language, compare
from llmos.lab.tokenizers.specials import specials_of
from llmos.lab.tokenizers.train import fast_of, save, thinned, train, train_fast

ENGLISH = sample("english.txt").read_text(encoding="utf-8")[:30_000]
CHINESE = sample("chinese.txt").read_text(encoding="utf-8")[:10_000]


@pytest.fixture(scope="module")
def bpe() -> PreTrainedTokenizerFast:
    return train(
        TrainTokenizer(type="bpe", vocab_size=700, chat_template=True), [ENGLISH, CHINESE], max_length=256
    )


@pytest.fixture(scope="module")
def others() -> dict[str, Tokenizer]:
    made = {}
    for kind, role in (("unigram", "encoder-decoder"), ("wordpiece", "encoder")):
        made[kind] = train_fast(
            kind,  # type: ignore[arg-type]
            [ENGLISH[:8000], CHINESE[:3000]],
            vocab_size=600,
            min_frequency=2,
            specials=specials_of(role),  # type: ignore[arg-type]
        )
    return made


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text())
def test_byte_level_gives_back_any_text(
    bpe: PreTrainedTokenizerFast, others: dict[str, Tokenizer], text: str
) -> None:
    for tokenizer in (fast_of(bpe), others["unigram"]):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("text", ["The people of the United States.", "床前明月光，疑是地上霜。\n舉頭望明月"])
def test_saved_and_loaded_it_is_the_same(bpe: PreTrainedTokenizerFast, tmp_path: Path, text: str) -> None:
    names = {path.name for path in save(bpe, tmp_path)}
    assert names >= {"tokenizer.json", "tokenizer_config.json"}
    again = AutoTokenizer.from_pretrained(str(tmp_path))
    assert again(text)["input_ids"] == bpe(text)["input_ids"]
    assert again.decode(again(text)["input_ids"]) == text
    assert (again.pad_token, again.eos_token, again.model_max_length) == ("<|pad|>", "<|endoftext|>", 256)
    assert len(again) == 700


def test_a_conversation_marks_what_the_assistant_says(bpe: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "李白。"}]
    text = bpe.apply_chat_template(messages, tokenize=False)
    assert text == "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n李白。<|im_end|>\n"
    encoded = bpe.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
    said = [i for i, m in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if m]
    assert bpe.decode(said) == "李白。<|im_end|>"
    assert bpe.decode(said, skip_special_tokens=True) == "李白。"
    asked = bpe.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert asked.endswith("<|im_start|>assistant\n")


def test_an_encoder_frames_its_texts(others: dict[str, Tokenizer]) -> None:
    pair = others["wordpiece"].encode("the people", "of the")
    assert pair.tokens[0] == "[CLS]"
    assert pair.tokens.count("[SEP]") == 2
    assert pair.type_ids[-1] == 1
    assert others["unigram"].encode("the people").tokens[-1] == "</s>"
    assert others["unigram"].token_to_id("<extra_id_31>") is not None


def test_the_comparison_tells_languages_apart(
    bpe: PreTrainedTokenizerFast, others: dict[str, Tokenizer]
) -> None:
    texts = by_language([ENGLISH[:2000], CHINESE[:600]])
    assert set(texts) == {"en", "zh"}
    found = {(s.tokenizer, s.language): s for s in compare({"bpe": fast_of(bpe), **others}, texts)}
    assert found["bpe", "en"].is_lossless
    assert not found["wordpiece", "en"].is_lossless
    assert 1.5 < found["bpe", "en"].bytes_per_token < 4
    assert found["wordpiece", "zh"].unknown_share > 0.01
    assert found["bpe", "zh"].unknown_share == 0
    rows = as_table([*found.values()]).splitlines()
    assert ["bpe", "zh", "700"] in [[cell.strip() for cell in row.split("|")[1:4]] for row in rows]
    assert len({len(row) for row in rows}) == 1


def test_long_texts_are_cut_where_no_token_is(bpe: PreTrainedTokenizerFast) -> None:
    tokenizer = fast_of(bpe)
    for text in (
        ENGLISH,
        ENGLISH.replace(".", ".\n\n").replace(",", "\n"),
        CHINESE * 4,
        CHINESE.replace("\n", ""),
    ):
        parts = pieces(text * (1 + PIECE_CHARS // len(text)))
        assert len(parts) > 1
        assert max(map(len, parts)) <= PIECE_CHARS
        whole = tokenizer.encode("".join(parts), add_special_tokens=False).ids
        (ids,) = iter_token_ids(["".join(parts)], tokenizer, eos_id=1)
        assert ids.tolist() == [*whole, 1]
    assert pieces("x" * 2 * PIECE_CHARS) == ["x" * PIECE_CHARS] * 2


def test_texts_keep_their_order_and_number(bpe: PreTrainedTokenizerFast) -> None:
    texts = [f"{n} people " * (n % 7) for n in range(500)]
    found = list(iter_token_ids(texts, fast_of(bpe), bos_id=1))
    assert [fast_of(bpe).decode(ids[1:].tolist()) for ids in found] == texts
    assert all(ids[0] == 1 for ids in found)


def test_the_same_texts_give_the_same_tokenizer() -> None:
    spec = TrainTokenizer(type="bpe", vocab_size=400)
    one, other = (fast_of(train(spec, [ENGLISH[:5000]])).to_str() for _ in range(2))
    assert one == other


def test_refusals() -> None:
    with pytest.raises(DataError, match="vocab_size: 200 is too small; bpe needs at least 260"):
        train(TrainTokenizer(type="bpe", vocab_size=200), [ENGLISH])
    with pytest.raises(DataError, match="no text to make a tokenizer"):
        train(TrainTokenizer(type="bpe", vocab_size=400), ["", ""])


def test_of_many_texts_some_are_taken_from_everywhere() -> None:
    texts = [f"{number:04}" for number in range(1000)]
    assert list(thinned(texts, 4000)) == texts
    found = list(thinned(iter(texts), 1000))
    assert found == texts[::4]
    assert list(thinned(["long" * 10], 3)) == ["long" * 10]


def test_limits_a_finished_model_saved_do_not_cut_texts(bpe: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """Else pre-training that goes on from such a model would see the beginnings of texts only."""
    save(bpe, tmp_path)
    limited = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    limited.enable_truncation(4)
    limited.enable_padding(length=4)
    limited.save(str(tmp_path / "tokenizer.json"))
    loaded = AutoTokenizer.from_pretrained(str(tmp_path))
    assert len(loaded.backend_tokenizer.encode(CHINESE).ids) == 4
    assert fast_of(loaded).encode(CHINESE).ids == fast_of(bpe).encode(CHINESE).ids
