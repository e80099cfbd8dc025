"""Plans for reading a byte range of a file out of its xorbs, and their JSON shapes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from llmos.core.errors import RangeNotSatisfiable
from llmos.infra.xet.hashes import XetHash, to_hex
from llmos.infra.xet.shard import ShardTerm
from llmos.infra.xet.verify import TableOf


@dataclass(frozen=True, slots=True)
class PackedRange:
    """Whole chunks of one xorb and where they lie in it; every end is exclusive."""

    chunk_start: int
    chunk_end: int
    byte_start: int
    byte_end: int


@dataclass(frozen=True, slots=True)
class PlannedTerm:
    """The chunks to read next: their xorb, place, and raw length in bytes."""

    xorb_hash: XetHash
    raw_bytes: int
    packed: PackedRange


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """How to read `length_bytes` of a file: decode `terms` in order, skip the offset, cut the end.

    `fetches` are the same chunks per xorb, merged and in order, so that no byte is fetched twice.
    """

    offset_into_first_range: int
    length_bytes: int
    terms: list[PlannedTerm]
    fetches: dict[XetHash, list[PackedRange]]


UrlFor: TypeAlias = Callable[[XetHash, PackedRange], str]


def plan_range(
    terms: Sequence[ShardTerm],
    table_of: TableOf,
    start: int = 0,
    end: int | None = None,
) -> Reconstruction:
    """Plan the reading of the bytes start <= i < end of a file made of checked `terms`.

    `end` is cut at the file's size, the first and last term to whole chunks. `table_of` is asked
    only for xorbs that the range touches. Raises RangeNotSatisfiable (416) if nothing is left.
    """
    size_bytes = sum(term.raw_bytes for term in terms)
    stop = size_bytes if end is None else min(end, size_bytes)
    if not 0 <= start < stop:
        raise RangeNotSatisfiable(
            f"The range holds no byte of the file; it has {size_bytes} bytes.",
            data={"size_bytes": size_bytes},
        )
    planned: list[PlannedTerm] = []
    offset_into_first = 0
    term_start = 0
    for term in terms:
        low = max(start - term_start, 0)
        high = min(stop - term_start, term.raw_bytes)
        term_start += term.raw_bytes
        if low >= high:
            continue
        piece, skipped = _trim(term, table_of, low, high)
        if not planned:
            offset_into_first = skipped
        planned.append(piece)
    return Reconstruction(offset_into_first, stop - start, planned, _merge(planned))


def reconstruction_v1(plan: Reconstruction, url_for: UrlFor) -> dict[str, Any]:
    """JSON body of a version 1 reconstruction; URL ranges have inclusive ends."""
    return _common(plan) | {
        "fetch_info": {
            to_hex(name): [
                {
                    "range": {"start": fetch.chunk_start, "end": fetch.chunk_end},
                    "url": url_for(name, fetch),
                    "url_range": {"start": fetch.byte_start, "end": fetch.byte_end - 1},
                }
                for fetch in fetches
            ]
            for name, fetches in plan.fetches.items()
        }
    }


def reconstruction_v2(plan: Reconstruction, url_for: UrlFor) -> dict[str, Any]:
    """JSON body of a version 2 reconstruction, one range per URL so that no client needs
    multipart answers; byte ranges have inclusive ends."""
    return _common(plan) | {
        "xorbs": {
            to_hex(name): [
                {
                    "url": url_for(name, fetch),
                    "ranges": [
                        {
                            "chunks": {
                                "start": fetch.chunk_start,
                                "end": fetch.chunk_end,
                            },
                            "bytes": {
                                "start": fetch.byte_start,
                                "end": fetch.byte_end - 1,
                            },
                        }
                    ],
                }
                for fetch in fetches
            ]
            for name, fetches in plan.fetches.items()
        }
    }


def _trim(term: ShardTerm, table_of: TableOf, low: int, high: int) -> tuple[PlannedTerm, int]:
    """The chunks of a term that hold its bytes low <= i < high, and the bytes before low."""
    table = table_of(term.xorb_hash)
    base = table.raw_start(term.chunk_start)
    first = table.index_at(base + low)
    last = table.index_at(base + high - 1) + 1
    packed = PackedRange(first, last, *table.packed_range(first, last))
    skipped = base + low - table.raw_start(first)
    return PlannedTerm(term.xorb_hash, table.raw_bytes(first, last), packed), skipped


def _merge(terms: Iterable[PlannedTerm]) -> dict[XetHash, list[PackedRange]]:
    by_xorb: dict[XetHash, list[PackedRange]] = {}
    for term in terms:
        by_xorb.setdefault(term.xorb_hash, []).append(term.packed)
    return {name: _merge_ranges(ranges) for name, ranges in by_xorb.items()}


def _merge_ranges(ranges: list[PackedRange]) -> list[PackedRange]:
    merged: list[PackedRange] = []
    for item in sorted(ranges, key=lambda r: (r.chunk_start, r.chunk_end)):
        if merged and item.chunk_start <= merged[-1].chunk_end:
            merged[-1] = _span(merged[-1], item)
        else:
            merged.append(item)
    return merged


def _span(first: PackedRange, second: PackedRange) -> PackedRange:
    return PackedRange(
        first.chunk_start,
        max(first.chunk_end, second.chunk_end),
        first.byte_start,
        max(first.byte_end, second.byte_end),
    )


def _common(plan: Reconstruction) -> dict[str, Any]:
    return {
        "offset_into_first_range": plan.offset_into_first_range,
        "terms": [
            {
                "hash": to_hex(term.xorb_hash),
                "unpacked_length": term.raw_bytes,
                "range": {
                    "start": term.packed.chunk_start,
                    "end": term.packed.chunk_end,
                },
            }
            for term in plan.terms
        ],
    }
