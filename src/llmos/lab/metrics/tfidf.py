"""TF-IDF and logistic regression: what a classifier of texts has to beat, learnt in a second."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.lab.data.errors import DataError
from llmos.lab.metrics.intervals import Estimate
from llmos.lab.metrics.labels import accuracy, macro_f1, majority

MAX_CHARS = 20_000


def tfidf_predictions(
    texts: Sequence[str], labels: Sequence[str], others: Sequence[str], *, max_chars: int = MAX_CHARS
) -> list[str]:
    """Labels for `others`, learnt from `texts` with `labels`; the same every time.

    Features are up to three characters in a row and the words themselves, so that Chinese needs no
    segmentation; of each text the first `max_chars` are read. Raises DataError when there is only one label.
    """
    if len(set(labels)) < 2:
        raise DataError(f"All {len(labels)} examples bear the same label; a classifier needs two or more.")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    model = make_pipeline(
        make_union(
            TfidfVectorizer(analyzer="char", ngram_range=(1, 3), max_features=50_000, sublinear_tf=True),
            TfidfVectorizer(max_features=50_000, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"),
        ),
        LogisticRegression(C=10.0, max_iter=2000),
    )
    max_chars = min(max_chars, MAX_CHARS)
    model.fit([text[:max_chars] for text in texts], list(labels))
    return [str(label) for label in model.predict([text[:max_chars] for text in others])]


def baselines(
    train: Sequence[tuple[str, str]], held_out: Sequence[tuple[str, str]], *, max_chars: int = MAX_CHARS
) -> dict[str, Estimate]:
    """Accuracy and macro F1 of TF-IDF and of the commonest label, from pairs of text and label."""
    labels, wanted = [label for _, label in train], [label for _, label in held_out]
    texts, others = ([text for text, _ in pairs] for pairs in (train, held_out))
    found = tfidf_predictions(texts, labels, others, max_chars=max_chars)
    return {
        "majority_accuracy": majority(labels, wanted),
        "tfidf_accuracy": accuracy(wanted, found),
        "tfidf_f1": macro_f1(wanted, found),
    }
