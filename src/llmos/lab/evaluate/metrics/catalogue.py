"""Which metrics there are."""

from __future__ import annotations

from collections.abc import Callable

from llmos.lab.evaluate.metrics import answers, cost, labels, likelihood, overlap, tags, variety
from llmos.lab.evaluate.metrics.base import Metric

MAKERS: dict[str, Callable[[str], Metric]] = {
    "acc_norm": labels.acc_norm,
    "accuracy": labels.accuracy,
    "bits_per_byte": likelihood.bits_per_byte,
    "bits_per_character": likelihood.bits_per_character,
    "bleu": overlap.bleu,
    "byte_perplexity": likelihood.byte_perplexity,
    "chrf": overlap.chrf,
    "distinct_1": variety.distinct(1),
    "distinct_2": variety.distinct(2),
    "distinct_3": variety.distinct(3),
    "ece": labels.ece,
    "entity_f1": tags.entity_f1,
    "exact_match": answers.exact_match,
    "f1": labels.f1,
    "f1_binary": labels.f1_binary,
    "joules_per_token": cost.joules_per_token,
    "latency": cost.latency,
    "latency_p50": cost.latency_quantile(50),
    "latency_p95": cost.latency_quantile(95),
    "mcc": labels.mcc,
    "perplexity": likelihood.perplexity,
    "preference_gap": labels.preference_gap,
    "repetition": variety.repetition,
    "rouge1": overlap.rouge("rouge1"),
    "rouge2": overlap.rouge("rouge2"),
    "rougeL": overlap.rouge("rougeL"),
    "rougeLsum": overlap.rouge("rougeLsum"),
    "self_bleu": variety.self_bleu,
    "squad_em": answers.squad_em,
    "squad_f1": answers.squad_f1,
    "tag_accuracy": tags.tag_accuracy,
    "tag_f1": tags.tag_f1,
    "ter": overlap.ter,
    "tokens_per_second": cost.tokens_per_second,
    "vocabulary_coverage": variety.vocabulary_coverage,
    "word_perplexity": likelihood.word_perplexity,
}
ALIASES = {
    "acc": "accuracy",
    "em": "exact_match",
    "macro_f1": "f1",
    "seqeval": "entity_f1",
    "rouge_l": "rougeL",
    "sacrebleu": "bleu",
}
NOT_OFFERED = {
    "meteor": "the libraries that compute it need WordNet, which is no package; use chrf or rougeL.",
}
