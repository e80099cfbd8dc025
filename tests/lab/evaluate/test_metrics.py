"""Every metric: a reference value worked by hand or by another library, its signature, its interval."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from llmos.core.errors import NotFound
from llmos.lab.evaluate.metrics import MetricError, get_metric, names
from llmos.lab.evaluate.outcomes import Outcome
from llmos.records.aggregates import formula_of, recompute
from llmos.wire.evaluation import MetricValue


def value(name: str, outcomes: Sequence[Outcome], language: str = "en") -> float:
    """The figure, after checking that it follows from what the log keeps of each sample."""
    metric = get_metric(name, language=language)
    found = metric.aggregate(outcomes)
    assert found.n == len(outcomes)
    assert recompute(found.name, found.signature, metric.scores(outcomes)) == pytest.approx(
        found.value, rel=1e-12
    )
    return found.value


def texts(name: str, pairs: Sequence[tuple[str, str]], language: str = "en") -> float:
    return value(name, [Outcome(id=str(n), output=a, target=b) for n, (a, b) in enumerate(pairs)], language)


# Likelihood


def test_likelihood() -> None:
    one = Outcome(logprob=-8 * math.log(2), tokens=4, words=2, characters=8, size_bytes=16)
    two = Outcome(logprob=-16 * math.log(2), tokens=4, words=2, characters=8, size_bytes=8)
    both = [one, two]
    assert value("bits_per_byte", both) == pytest.approx(1.0)
    assert value("bits_per_character", both) == pytest.approx(24 / 16)
    assert value("perplexity", both) == pytest.approx(8.0)
    assert value("word_perplexity", both) == pytest.approx(64.0)
    assert value("byte_perplexity", both) == pytest.approx(2.0)
    for refused, why in (
        ([Outcome(id="a", logprob=math.nan, tokens=1)], "sample a is nan"),
        ([Outcome(id="a", tokens=1)], "needs logprob, which sample a does not have"),
        ([Outcome(logprob=0.0)], "all samples are empty"),
        ([], "gave no sample"),
    ):
        with pytest.raises(MetricError, match=why):
            get_metric("perplexity").aggregate(refused)


# Labels


def test_accuracy_of_indexes_texts_and_several_right_choices() -> None:
    outcomes = [
        Outcome(target=1, chosen=1),
        Outcome(target=[0, 2], chosen=2),
        Outcome(target=0, chosen=1),
        Outcome(target="spam", choices=["ham", "spam"], chosen=1),
        Outcome(target="spam", output=" spam\n"),
        Outcome(target=0, choices=["yes", "no"], output="yes"),
        Outcome(target="spam", output="ham"),
        Outcome(target=0, chosen=-1, output="?"),
    ]
    assert value("acc", outcomes) == pytest.approx(5 / 8)
    with pytest.raises(MetricError, match="needs target"):
        get_metric("accuracy").aggregate([Outcome(chosen=0)])
    with pytest.raises(MetricError, match="expected the index of a choice"):
        get_metric("accuracy").aggregate([Outcome(chosen=0, target={"a": 1})])


def test_length_normalised_accuracy() -> None:
    long_one = Outcome(target=1, chosen=0, logprobs=[-3.0, -4.0], choices=["ab", "abcdefgh"])
    assert value("accuracy", [long_one]) == 0.0
    assert value("acc_norm", [long_one]) == 1.0


def test_f1_and_mcc_equal_scikit_learn() -> None:
    from sklearn.metrics import f1_score, matthews_corrcoef

    rng = random.Random(3)
    labels = ["a", "b", "c.d", "e"]
    wanted = [rng.choice(labels) for _ in range(300)]
    found = [w if rng.random() < 0.6 else rng.choice(labels) for w in wanted]
    outcomes = [Outcome(target=w, output=f) for w, f in zip(wanted, found, strict=True)]
    assert value("f1", outcomes) == pytest.approx(f1_score(wanted, found, average="macro"), abs=1e-12)
    assert value("mcc", outcomes) == pytest.approx(matthews_corrcoef(wanted, found), abs=1e-12)
    ones = [(rng.randrange(2), rng.randrange(2)) for _ in range(50)]
    binary = [Outcome(target=w, chosen=f) for w, f in ones]
    expected = f1_score([w for w, _ in ones], [f for _, f in ones])
    assert value("f1_binary", binary) == pytest.approx(expected, abs=1e-12)
    assert value("mcc", [Outcome(target="a", output="a")] * 3) == 0.0


def test_calibration() -> None:
    """Two answers at 0.75, one right; two at 0.5 (logits alike), both right."""
    sure = [math.log(3), 0.0]
    outcomes = [
        Outcome(target=0, logprobs=sure),
        Outcome(target=1, logprobs=sure),
        Outcome(target=0, logprobs=[-1.0, -1.0]),
        Outcome(target=0, logprobs=[-1.0, -1.0]),
    ]
    assert value("ece", outcomes) == pytest.approx((abs(1 - 1.5) + abs(2 - 1.0)) / 4)
    with pytest.raises(MetricError, match="is NaN"):
        get_metric("ece").aggregate([Outcome(target=0, logprobs=[math.nan, 0.0])])


# Written answers


def test_exact_match() -> None:
    outcomes = [
        Outcome(output=" Paris\n", target="Paris"),
        Outcome(output="paris", target="Paris"),
        Outcome(output="NYC", references=["New York", "NYC"]),
    ]
    assert value("em", outcomes) == pytest.approx(2 / 3)
    with pytest.raises(MetricError, match="a reference that is not empty"):
        get_metric("exact_match").aggregate([Outcome(output="x", target="  ")])


@pytest.mark.parametrize(
    ("found", "wanted", "exact", "f1"),
    [
        ("the cat sat", ["Cat sat!"], 1.0, 1.0),
        ("a big cat", ["the cat"], 0.0, 2 / 3),
        ("cat cat", ["cat"], 0.0, 2 / 3),
        ("dog", ["cat", "a dog."], 1.0, 1.0),
        ("", [], 1.0, 1.0),
        ("dog", [], 0.0, 0.0),
    ],
)
def test_squad_rules(found: str, wanted: list[str], exact: float, f1: float) -> None:
    outcome = Outcome(output=found, references=wanted, target="")
    assert value("squad_em", [outcome]) == pytest.approx(exact, abs=1e-12)
    assert value("squad_f1", [outcome]) == pytest.approx(f1, abs=1e-12)


def test_squad_in_chinese_counts_characters() -> None:
    outcome = Outcome(output="李白。", references=["詩人李白"])
    assert value("squad_f1", [outcome], "zh") == pytest.approx(2 / 3)
    assert value("squad_em", [Outcome(output="「李白」！", references=["李白"])], "zh-Hant") == 1.0
    assert value("squad_em", [Outcome(output="2０1０年", references=["2010 年"])], "zh") == 1.0


# Texts against references

ENGLISH = [
    ("The cat sat on the mat.", "The cat is sitting on the mat."),
    ("He said: \"It's 5 o'clock,\" and left", "He said, \"It's five o'clock,\" and went."),
    ("a", "something else entirely, with no word shared"),
    ("", "an empty answer"),
    ("Press Ctrl+S to save the file &amp; quit.", "Press Ctrl+S to save a file & quit."),
]
CHINESE = [
    ("白日依山盡，黃河入海流。", "白日依山盡，黃河入海流。"),
    ("按 Ctrl+S 保存檔案。", "請按 Ctrl+S 鍵儲存檔案！"),
    ("春眠不覺曉", "夜來風雨聲，花落知多少。"),
    ("点击“确定”按钮以保存更改。", "单击“确定”以保存所做的更改。"),
]


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("references", [1, 2])
def test_equal_to_sacrebleu_and_its_signature(name: str, language: str, references: int) -> None:
    from sacrebleu.metrics import BLEU, CHRF, TER

    pairs = ENGLISH if language == "en" else CHINESE
    asian = language == "zh"
    peer = {
        "bleu": lambda: BLEU(tokenize="zh" if asian else "13a"),
        "chrf": CHRF,
        "ter": lambda: TER(normalized=asian, asian_support=asian),
    }[name]()
    streams = [[b for _, b in pairs], [b[::-1] for _, b in pairs]][:references]
    outcomes = [
        Outcome(output=a, references=list(of_one))
        for (a, _), of_one in zip(pairs, zip(*streams, strict=True), strict=True)
    ]
    expected = peer.corpus_score([a for a, _ in pairs], streams).score
    assert value(name, outcomes, language) == pytest.approx(expected, abs=1e-6)
    found = get_metric(name, language=language).aggregate(outcomes)
    assert str(peer.get_signature()) in found.signature
    assert found.higher_is_better is (name != "ter")


def test_a_lot_of_random_text_equals_sacrebleu() -> None:
    from sacrebleu.metrics import BLEU, CHRF

    rng = random.Random(11)
    wanted = [" ".join(rng.choices("abcdefg", k=rng.randint(1, 20))) for _ in range(150)]
    found = [" ".join(rng.choices("abcdefg", k=rng.randint(0, 20))) for _ in range(150)]
    pairs = list(zip(found, wanted, strict=True))
    assert texts("bleu", pairs) == pytest.approx(BLEU().corpus_score(found, [wanted]).score, abs=1e-6)
    assert texts("chrf", pairs) == pytest.approx(CHRF().corpus_score(found, [wanted]).score, abs=1e-6)


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_rouge_equals_rouge_score_in_english_and_sees_chinese(name: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    pairs = [*ENGLISH, ("One line.\nAnother line here.", "Another line.\nOne line there.")]
    peer = RougeScorer([name])
    expected = sum(peer.score(b, a)[name].fmeasure for a, b in pairs) / len(pairs)
    assert texts(name, pairs) == pytest.approx(expected, abs=1e-12)
    same = CHINESE[0][1]
    assert texts(name, [(same, same)]) == 0.0
    assert texts(name, [(same, same)], "zh") == 1.0
    assert 0 < texts(name, [CHINESE[3]], "zh") < 1


def test_rouge_of_chinese_sentences_in_another_order() -> None:
    pair = ("黃河入海流。白日依山盡。", "白日依山盡。黃河入海流。")
    assert texts("rougeLsum", [pair], "zh") == 1.0
    assert texts("rougeL", [pair], "zh") == pytest.approx(0.5)


# Tags


def test_tags() -> None:
    outcomes = [
        Outcome(target=["N", "V", "N"], found=["N", "V", "V"]),
        Outcome(target=["N"], found=["N"]),
    ]
    assert value("tag_accuracy", outcomes) == pytest.approx(3 / 4)
    assert value("tag_f1", outcomes) == pytest.approx((4 / 5 + 2 / 3) / 2)
    with pytest.raises(MetricError, match="2 words and the model gave 1 tags"):
        get_metric("tag_f1").aggregate([Outcome(target=["N", "V"], found=["N"])])


def test_entities_equal_seqeval() -> None:
    from seqeval.metrics import f1_score
    from seqeval.metrics.sequence_labeling import get_entities

    from llmos.lab.evaluate.metrics.tags import entities

    rng = random.Random(7)
    tags = ["O", "O", *[f"{mark}-{kind}" for mark in "BIES" for kind in ("PER", "LOC")]]
    wanted = [rng.choices(tags, k=rng.randint(1, 12)) for _ in range(400)]
    found = [[t if rng.random() < 0.7 else rng.choice(tags) for t in of_one] for of_one in wanted]
    for of_one in wanted:
        assert entities(of_one) == get_entities(of_one), of_one
    outcomes = [Outcome(target=w, found=f) for w, f in zip(wanted, found, strict=True)]
    assert value("seqeval", outcomes) == pytest.approx(f1_score(wanted, found), abs=1e-12)


# Variety and cost


def test_variety() -> None:
    again = Outcome(output="the sea the sea the sea", tokens=6)
    assert value("distinct_1", [again]) == pytest.approx(2 / 6)
    assert value("distinct_2", [again]) == pytest.approx(2 / 5)
    assert value("repetition", [again]) == pytest.approx(1 / 3)
    assert value("distinct_1", [Outcome(output="春春夏")], "zh") == pytest.approx(2 / 3)
    assert value("vocabulary_coverage", [Outcome(tokens=10, unknown_tokens=1)]) == pytest.approx(0.9)
    with pytest.raises(MetricError, match="all samples are empty"):
        get_metric("distinct_3").aggregate([Outcome(output="one")])


def test_self_bleu_equals_bleu_against_all_the_others() -> None:
    from sacrebleu.metrics import BLEU

    rng = random.Random(2)
    outputs = [" ".join(rng.choices("abcdefgh", k=rng.randint(4, 12))) for _ in range(30)]
    peer = BLEU(tokenize="none")
    expected = [
        peer.corpus_score([text], [[other] for at, other in enumerate(outputs) if at != n]).score
        for n, text in enumerate(outputs)
    ]
    outcomes = [Outcome(output=text) for text in outputs]
    scores = get_metric("self_bleu").scores(outcomes)
    assert [row["self_bleu"] for row in scores] == pytest.approx(expected, abs=1e-6)
    assert value("self_bleu", [Outcome(output="one and the same text")] * 3) == pytest.approx(100.0)


def test_cost() -> None:
    outcomes = [Outcome(seconds=1.0, tokens=10, joules=5.0), Outcome(seconds=3.0, tokens=30, joules=15.0)]
    assert value("latency", outcomes) == 2.0
    assert value("tokens_per_second", outcomes) == 10.0
    assert value("joules_per_token", outcomes) == 0.5
    joules = get_metric("joules_per_token")
    assert "|energy:estimated|" in joules.aggregate(outcomes).signature
    metered = [replace(one, is_metered=True) for one in outcomes]
    assert "|energy:measured|" in joules.aggregate(metered).signature
    assert "|energy:mixed|" in joules.aggregate([outcomes[0], metered[1]]).signature
    with pytest.raises(MetricError, match="needs joules"):
        get_metric("joules_per_token").aggregate([Outcome(tokens=3)])


def test_quantiles_of_latency_are_right_within_two_percent() -> None:
    rng = random.Random(3)
    seconds = [rng.lognormvariate(-2, 1.0) for _ in range(400)]
    outcomes = [Outcome(seconds=one) for one in seconds]
    for percent in (50, 95):
        exact = sorted(seconds)[int(len(seconds) * percent / 100) - 1]
        found = get_metric(f"latency_p{percent}").aggregate(outcomes)
        assert found.value == pytest.approx(exact, rel=0.011)
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high
    assert "|agg:p95|within:2%|" in found.signature
    assert not found.higher_is_better
    assert value("latency_p50", [Outcome(seconds=0.0)] * 9) == pytest.approx(1e-6)


# What all share


def test_every_metric_has_a_signature_with_a_known_formula() -> None:
    from llmos.records.aggregates import FORMULAS

    seen = set()
    for name in names():
        for language in ("en", "zh"):
            metric = get_metric(name, language=language)
            assert metric.name == name
            assert formula_of(metric.signature()) in FORMULAS
            seen.add((name, metric.signature()))
    assert len({signature for _, signature in seen}) == len(seen)
    bleu = get_metric("bleu", language="zh").signature()
    assert bleu.startswith("bleu|agg:bleu|nrefs:var|case:mixed|eff:no|tok:zh|smooth:exp|version:")


def test_unknown_metrics_are_named() -> None:
    with pytest.raises(NotFound, match="No metric is called glue; there are: acc_norm, accuracy"):
        get_metric("glue")
    with pytest.raises(NotFound, match="WordNet"):
        get_metric("meteor")


def test_the_interval_is_seeded_and_holds_the_truth() -> None:
    metric = get_metric("accuracy")
    rng = random.Random(5)
    held = 0
    for _ in range(60):
        outcomes = [Outcome(target=0, chosen=int(rng.random() < 0.3)) for _ in range(120)]
        found = metric.aggregate(outcomes)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.7 <= found.high
    assert 0.85 <= held / 60 <= 1.0
    assert metric.aggregate(outcomes, seed=1) == metric.aggregate(outcomes, seed=1)
    few: MetricValue = metric.aggregate(outcomes[:7])
    assert (few.low, few.high) == (None, None)
    perfect = metric.aggregate([Outcome(target=0, chosen=0)] * 20)
    assert perfect.high == pytest.approx(1.0)
    assert perfect.low is not None
    assert 0.80 < perfect.low < 0.90


def test_the_interval_of_a_corpus_metric_is_about_sacrebleus() -> None:
    from sacrebleu.metrics import BLEU

    rng = random.Random(1)
    wanted = [" ".join(rng.choices("abcdefg", k=15)) for _ in range(120)]
    found = [" ".join(w if rng.random() < 0.8 else "x" for w in text.split()) for text in wanted]
    ours = get_metric("bleu").aggregate(
        [Outcome(output=a, target=b) for a, b in zip(found, wanted, strict=True)]
    )
    peer = BLEU().corpus_score(found, [wanted], n_bootstrap=500)
    assert ours.low is not None
    assert ours.high is not None
    # A normal approximation of the same interval, within the noise of 500 draws.
    assert (ours.high - ours.low) / 2 == pytest.approx(peer._ci, rel=0.2)
