"""Keep `.gitattributes` in step with the large files of a repository."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from llmos.features.repos.cards.attributes import add_lfs_pattern, is_lfs_path, lfs_pattern

MAX_LINES_PER_FOLDER = 20
_RULE = "filter=lfs diff=lfs merge=lfs -text"


def track_paths(attributes_text: str, paths: Iterable[str]) -> str:
    """The text extended so that every path has `filter=lfs`; unchanged if all have.

    Each untracked path gets a line of its own; where one folder has many with one ending, a
    single line covers that ending in that folder, or the file would grow past use.
    """
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        if not is_lfs_path(attributes_text, path):
            folder, _, name = path.rpartition("/")
            stem, dot, ending = name.rpartition(".")
            groups[folder, ending if dot and stem else ""].append(path)
    for (folder, ending), members in groups.items():
        if ending and len(members) > MAX_LINES_PER_FOLDER:
            where = lfs_pattern(folder) if folder else ""
            attributes_text = _append(attributes_text, f"{where}/*.{lfs_pattern(ending)[1:]} {_RULE}")
        elif len(members) > MAX_LINES_PER_FOLDER:
            lines = "\n".join(f"{lfs_pattern(path)} {_RULE}" for path in members)
            attributes_text = _append(attributes_text, lines)
        else:
            for path in members:
                attributes_text = add_lfs_pattern(attributes_text, path)
    return attributes_text


def _append(text: str, lines: str) -> str:
    return text + ("" if not text or text.endswith("\n") else "\n") + lines + "\n"
