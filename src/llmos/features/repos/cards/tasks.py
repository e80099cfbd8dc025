"""Tasks of the Hub: pipeline tags, their modality and subtasks, and sizes of data sets."""

from __future__ import annotations

MODALITIES = ("multimodal", "nlp", "cv", "audio", "tabular", "rl", "other")

# Order inside a modality goes from specific to general: the first declared tag that is a task
# becomes the pipeline tag of a model that names none.
_TASKS = """
multimodal: audio-text-to-text image-text-to-text image-text-to-image image-text-to-video
multimodal: visual-question-answering document-question-answering video-text-to-text
multimodal: visual-document-retrieval any-to-any
nlp: text-classification token-classification table-question-answering question-answering
nlp: zero-shot-classification translation summarization feature-extraction text-generation
nlp: text2text-generation fill-mask sentence-similarity text-ranking
cv: depth-estimation image-classification object-detection image-segmentation text-to-image
cv: image-to-text image-to-image image-to-video unconditional-image-generation
cv: video-classification text-to-video zero-shot-image-classification mask-generation
cv: zero-shot-object-detection text-to-3d image-to-3d image-feature-extraction
cv: keypoint-detection video-to-video
audio: text-to-speech text-to-audio automatic-speech-recognition audio-to-audio
audio: audio-classification voice-activity-detection
tabular: tabular-classification tabular-regression time-series-forecasting
rl: reinforcement-learning robotics
other: graph-ml
"""
_DATASET_ONLY = "nlp: table-to-text multiple-choice text-retrieval\ntabular: tabular-to-text"
_SUBTASKS = """
text-classification: acceptability-classification entity-linking-classification fact-checking
text-classification: intent-classification language-identification multi-class-classification
text-classification: multi-label-classification multi-input-text-classification
text-classification: natural-language-inference semantic-similarity-classification
text-classification: sentiment-classification topic-classification semantic-similarity-scoring
text-classification: sentiment-scoring sentiment-analysis hate-speech-detection text-scoring
token-classification: named-entity-recognition part-of-speech parsing lemmatization
token-classification: word-sense-disambiguation coreference-resolution
question-answering: extractive-qa open-domain-qa closed-domain-qa
summarization: news-articles-summarization news-articles-headline-generation
text-generation: dialogue-modeling dialogue-generation conversational language-modeling
text2text-generation: text-simplification explanation-generation abstractive-qa
text2text-generation: open-domain-abstractive-qa closed-domain-qa open-book-qa closed-book-qa
fill-mask: slot-filling masked-language-modeling
audio-classification: keyword-spotting speaker-identification audio-intent-classification
audio-classification: audio-emotion-recognition audio-language-identification
image-classification: multi-label-image-classification multi-class-image-classification
object-detection: face-detection vehicle-detection
image-segmentation: instance-segmentation semantic-segmentation panoptic-segmentation
image-to-text: image-captioning
image-to-image: image-inpainting image-colorization super-resolution
robotics: grasping task-planning
tabular-classification: tabular-multi-class-classification tabular-multi-label-classification
tabular-regression: tabular-single-column-regression
tabular-to-text: rdf-to-text
multiple-choice: multiple-choice-qa multiple-choice-coreference-resolution
text-retrieval: document-retrieval utterance-retrieval entity-linking-retrieval
text-retrieval: fact-checking-retrieval
time-series-forecasting: univariate-time-series-forecasting
time-series-forecasting: multivariate-time-series-forecasting
visual-question-answering: visual-question-answering
document-question-answering: document-question-answering
keypoint-detection: pose-estimation
"""


def _lines(text: str) -> list[tuple[str, list[str]]]:
    pairs = (line.split(":", 1) for line in text.strip().splitlines())
    return [(head, names.split()) for head, names in pairs]


PIPELINE_TAGS: dict[str, str] = {name: mod for mod, names in _lines(_TASKS) for name in names}
"""Pipeline tag of a model -> modality."""

TASK_CATEGORIES: dict[str, str] = PIPELINE_TAGS | {
    name: modality for modality, names in _lines(_DATASET_ONLY) for name in names
}
"""Task category of a data set -> modality; every pipeline tag and a few of its own."""

SUBTASKS: dict[str, str] = {name: task for task, names in reversed(_lines(_SUBTASKS)) for name in names}
"""`task_ids` value -> the task it refines."""

SIZE_CATEGORIES: tuple[str, ...] = (
    *("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"),
    *("1B<n<10B", "10B<n<100B", "100B<n<1T", "n>1T"),
)
"""Numbers of rows, smallest first."""
