"""What the file names of a data set tell, and which card keys become `key:value` tags."""

from __future__ import annotations

from llmos.features.repos.cards.values import unique

DATASET_KEYS = (
    *("task_categories", "task_ids", "annotations_creators", "language_creators"),
    *("multilinguality", "source_datasets", "size_categories"),
)
_DATA_FORMATS = {
    "csv": "csv",
    "tsv": "csv",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
    "parquet": "parquet",
    "arrow": "arrow",
    "txt": "text",
    "tar": "webdataset",
    "lance": "lance",
}
_DATA_MODALITIES = {
    "image": ("png", "jpg", "jpeg", "webp", "gif", "bmp", "tiff"),
    "audio": ("wav", "mp3", "flac", "ogg", "aac", "opus"),
    "video": ("mp4", "webm", "mkv", "mov", "avi"),
    "text": ("txt",),
    "document": ("pdf",),
    "geospatial": ("geojson", "geoparquet"),
}
_MODALITY_OF_SUFFIX = {end: name for name, ends in _DATA_MODALITIES.items() for end in ends}
_FOLDER_FORMATS = {"image": "imagefolder", "audio": "audiofolder", "video": "videofolder"}


def data_tags(names: tuple[str, ...]) -> list[str]:
    """`format:` and `modality:` tags, from the endings of the data files."""
    endings = unique(n.rsplit(".", 1)[1].lower() for n in names if "." in n.rsplit("/", 1)[-1])
    formats = unique(_DATA_FORMATS[end] for end in endings if end in _DATA_FORMATS)
    found = unique(_MODALITY_OF_SUFFIX[end] for end in endings if end in _MODALITY_OF_SUFFIX)
    if not formats:
        formats = unique(_FOLDER_FORMATS[name] for name in found if name in _FOLDER_FORMATS)
    return [f"format:{name}" for name in formats] + [f"modality:{name}" for name in found]
