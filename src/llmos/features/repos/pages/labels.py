"""Words for codes: tasks, languages, licences and repository types, as readers say them."""

from __future__ import annotations

from typing import Literal

from babel import Locale as BabelLocale

from llmos.core.repo_types import RepoType
from llmos.features.repos.cards.libraries import LIBRARIES
from llmos.features.repos.cards.licenses import LICENSES
from llmos.infra.i18n import LazyString, Locale, lazy, localize

TASK_LABELS: dict[str, LazyString] = {
    "audio-text-to-text": lazy("Audio and text to text"),
    "image-text-to-text": lazy("Image and text to text"),
    "image-text-to-image": lazy("Image and text to image"),
    "image-text-to-video": lazy("Image and text to video"),
    "visual-question-answering": lazy("Visual question answering"),
    "document-question-answering": lazy("Document question answering"),
    "video-text-to-text": lazy("Video and text to text"),
    "visual-document-retrieval": lazy("Visual document retrieval"),
    "any-to-any": lazy("Any to any"),
    "text-classification": lazy("Text classification"),
    "token-classification": lazy("Token classification"),
    "table-question-answering": lazy("Table question answering"),
    "question-answering": lazy("Question answering"),
    "zero-shot-classification": lazy("Zero-shot classification"),
    "translation": lazy("Translation"),
    "summarization": lazy("Summarisation"),
    "feature-extraction": lazy("Feature extraction"),
    "text-generation": lazy("Text generation"),
    "text2text-generation": lazy("Text to text"),
    "fill-mask": lazy("Fill mask"),
    "sentence-similarity": lazy("Sentence similarity"),
    "text-ranking": lazy("Text ranking"),
    "depth-estimation": lazy("Depth estimation"),
    "image-classification": lazy("Image classification"),
    "object-detection": lazy("Object detection"),
    "image-segmentation": lazy("Image segmentation"),
    "text-to-image": lazy("Text to image"),
    "image-to-text": lazy("Image to text"),
    "image-to-image": lazy("Image to image"),
    "image-to-video": lazy("Image to video"),
    "unconditional-image-generation": lazy("Image generation"),
    "video-classification": lazy("Video classification"),
    "text-to-video": lazy("Text to video"),
    "zero-shot-image-classification": lazy("Zero-shot image classification"),
    "mask-generation": lazy("Mask generation"),
    "zero-shot-object-detection": lazy("Zero-shot object detection"),
    "text-to-3d": lazy("Text to 3D"),
    "image-to-3d": lazy("Image to 3D"),
    "image-feature-extraction": lazy("Image features"),
    "keypoint-detection": lazy("Keypoint detection"),
    "video-to-video": lazy("Video to video"),
    "text-to-speech": lazy("Text to speech"),
    "text-to-audio": lazy("Text to audio"),
    "automatic-speech-recognition": lazy("Speech recognition"),
    "audio-to-audio": lazy("Audio to audio"),
    "audio-classification": lazy("Audio classification"),
    "voice-activity-detection": lazy("Voice activity detection"),
    "tabular-classification": lazy("Tabular classification"),
    "tabular-regression": lazy("Tabular regression"),
    "time-series-forecasting": lazy("Time series forecasting"),
    "reinforcement-learning": lazy("Reinforcement learning"),
    "robotics": lazy("Robotics"),
    "graph-ml": lazy("Graph learning"),
    "table-to-text": lazy("Table to text"),
    "multiple-choice": lazy("Multiple choice"),
    "text-retrieval": lazy("Text retrieval"),
    "tabular-to-text": lazy("Tabular data to text"),
}

KINDS: dict[RepoType, Literal["model", "dataset", "space", "code"]] = {
    RepoType.MODEL: "model",
    RepoType.DATASET: "dataset",
    RepoType.SPACE: "space",
    RepoType.KERNEL: "code",
}
TYPE_LABELS: dict[RepoType, LazyString] = {
    RepoType.MODEL: lazy("Models"),
    RepoType.DATASET: lazy("Datasets"),
    RepoType.SPACE: lazy("Spaces"),
    RepoType.KERNEL: lazy("Tools"),
}
TYPE_ICONS = {
    RepoType.MODEL: "box",
    RepoType.DATASET: "database",
    RepoType.SPACE: "app-window",
    RepoType.KERNEL: "wrench",
}
SDK_LABELS = {"static": "HTML", "gradio": "Gradio", "streamlit": "Streamlit", "docker": "Docker"}
_BABEL = {"en": BabelLocale("en"), "zh": BabelLocale("zh", script="Hans")}


def task_label(task: str, locale: Locale) -> str:
    """`text-generation` -> `Text generation`; an unknown task in its own words."""
    known = TASK_LABELS.get(task)
    return localize(known, locale) if known else task.replace("-", " ").capitalize()


def language_label(code: str, locale: Locale) -> str | None:
    """The name of a language in the reader's; None for a code nobody has a name for."""
    name = _BABEL[locale].languages.get(code.replace("-", "_"))
    return name[:1].upper() + name[1:] if name else None


def license_label(license_id: str) -> str:
    return LICENSES.get(license_id, license_id).replace(" License", "")


def library_label(library: str) -> str:
    return LIBRARIES.get(library, library)


def short_count(count: int) -> str:
    """Parameters as people say them: `7.2B`, `124M`, `960K`."""
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size:
            value = count / size
            return f"{value:.0f}{unit}" if value >= 100 else f"{value:.1f}".removesuffix(".0") + unit
    return str(count)
