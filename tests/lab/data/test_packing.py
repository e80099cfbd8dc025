"""No token is lost, no document crosses its mask, and a resumed run sees the same order."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.lab.data.cache import TokenCache, cache_key, open_cache, write_cache
from llmos.lab.data.errors import DataError
from llmos.lab.data.order import EpochOrder
from llmos.lab.data.packing import IGNORED, Packed, pack

VOCAB = 70_000
documents = st.lists(st.lists(st.integers(1, VOCAB - 1), max_size=40), min_size=1, max_size=30).filter(any)


def arrays(lists: list[list[int]]) -> list[np.ndarray]:
    return [np.array(ids, dtype=np.uint32) for ids in lists]


def cache_of(lists: list[list[int]], folder: Path) -> TokenCache:
    return write_cache(arrays(lists), folder / "cache", vocab_size=VOCAB)


def in_memory(lists: list[list[int]]) -> TokenCache:
    kept = [ids for ids in lists if ids]
    starts = np.cumsum([0, *map(len, kept)]).astype(np.uint64)
    return TokenCache(Path(), {}, np.concatenate(arrays(kept)), starts, None)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(documents, st.integers(2, 50))
def test_a_stream_holds_every_token_once_and_in_order(lists: list[list[int]], seq_len: int) -> None:
    rows = list(Packed(in_memory(lists), seq_len))
    ids = [int(i) for row in rows for i in row["input_ids"][row["document_ids"] >= 0]]
    assert ids == [i for document in lists for i in document]
    assert all(len(array) == seq_len for row in rows for array in row.values())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(documents, st.integers(2, 50), st.sampled_from(["stream", "fit", "none"]))
def test_positions_and_labels_stay_inside_a_document(lists: list[list[int]], seq_len: int, mode: str) -> None:
    packed = Packed(in_memory(lists), seq_len, mode=mode, longer="cut")  # type: ignore[arg-type]
    whole = [tuple(document) for document in lists if document]
    for row in packed:
        for number in set(row["document_ids"].tolist()) - {-1}:
            at = np.flatnonzero(row["document_ids"] == number)
            assert at.tolist() == list(range(at[0], at[-1] + 1))
            assert row["position_ids"][at].tolist() == list(range(len(at)))
            part = tuple(row["input_ids"][at].tolist())
            assert any(
                part == document[i : i + len(part)] for document in whole for i in range(len(document))
            ), "a run of one document number holds tokens of two documents"
            assert row["labels"][at[0]] == IGNORED
            assert (row["labels"][at[1:]] == row["input_ids"][at[1:]]).all()
        assert (row["labels"][row["document_ids"] < 0] == IGNORED).all()
        assert mode != "none" or row["document_ids"].max() == 0


@settings(max_examples=25, deadline=None, derandomize=True)
@given(documents, st.integers(40, 60), st.sampled_from(["fit", "none"]))
def test_every_document_stays_whole(lists: list[list[int]], seq_len: int, mode: str) -> None:
    packed = Packed(in_memory(lists), seq_len, mode=mode)  # type: ignore[arg-type]
    if mode == "none":
        assert len(packed) == sum(map(bool, lists))
    found = [
        tuple(row["input_ids"][row["document_ids"] == number].tolist())
        for row in packed
        for number in range(int(row["document_ids"].max()) + 1)
    ]
    assert sorted(found) == sorted(tuple(document) for document in lists if document)
    assert packed.n_tokens == sum(map(len, lists))


def test_fit_wastes_little(tmp_path: Path) -> None:
    lengths = np.random.default_rng(3).integers(5, 200, 2000)
    packed = Packed(cache_of([[7] * int(n) for n in lengths], tmp_path), 256, mode="fit")
    assert packed.fill > 0.98


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(1, 60), st.integers(0, 5), st.integers(0, 200), st.integers(1, 4))
def test_a_resumed_order_goes_on_where_it_was(length: int, seed: int, taken: int, world: int) -> None:
    if length < world:
        return
    whole = [
        list(islice(EpochOrder(length, seed=seed, rank=rank, world=world), taken + 70))
        for rank in range(world)
    ]
    for rank in range(world):
        first = EpochOrder(length, seed=seed, rank=rank, world=world)
        assert list(islice(first, taken)) == whole[rank][:taken]
        second = EpochOrder(length, seed=seed, rank=rank, world=world)
        second.load_state_dict(first.state_dict())
        assert list(islice(second, 70)) == whole[rank][taken:]
    per_rank = length // world
    epoch = [index for order in whole for index in order[:per_rank]]
    assert len(set(epoch)) == per_rank * world


def test_epochs_differ_and_another_run_is_refused() -> None:
    order = EpochOrder(100, seed=1)
    assert order.indices(0).tolist() != order.indices(1).tolist()
    with pytest.raises(DataError, match="data or the recipe changed"):
        EpochOrder(101, seed=1).load_state_dict(order.state_dict())
    with pytest.raises(DataError, match="3 sequences for 4 processes"):
        EpochOrder(3, world=4)


def test_the_cache_is_found_again_and_a_broken_one_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / cache_key({"files": ["a"]})
    made = pack(arrays([[1, 2, 3], [4, 5]]), 4, folder, vocab_size=10, facts=lambda: {"documents_read": 2})
    assert made.cache.tokens.dtype == np.uint16
    assert made.cache.facts["used_tokens"] == 5
    assert made.cache.facts["documents_read"] == 2

    def never():  # type: ignore[no-untyped-def]
        raise AssertionError("the cache was there")
        yield

    again = pack(never(), 4, folder, vocab_size=10)
    assert [row["input_ids"].tolist() for row in again] == [[1, 2, 3, 4], [5, 0, 0, 0]]
    with (folder / "tokens.bin").open("ab") as out:
        out.write(b"x")
    assert open_cache(folder) is None
    assert len(pack(arrays([[1, 2, 3]]), 4, folder, vocab_size=10)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield np.array([1, 2], dtype=np.uint32)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write_cache(broken(), tmp_path / "cache", vocab_size=10)
    assert not list(tmp_path.iterdir())


def test_the_mask_says_what_is_learnt(tmp_path: Path) -> None:
    items = [(np.array([1, 2, 3, 4], dtype=np.uint32), np.array([0, 0, 1, 1], dtype=np.uint8))]
    row = Packed(write_cache(items, tmp_path / "c", vocab_size=10), 6, mode="fit")[0]
    assert row["labels"].tolist() == [IGNORED, IGNORED, 3, 4, IGNORED, IGNORED]


def test_refusals_name_the_fix(tmp_path: Path) -> None:
    cache = cache_of([[1] * 10, [2] * 3], tmp_path)
    with pytest.raises(DataError, match=r"1 of 2 examples are longer than the sequence length of 8 .*has 10"):
        Packed(cache, 8, mode="fit")
    assert Packed(cache, 8, mode="fit", longer="drop").dropped == 1
    assert Packed(cache, 8, mode="fit", longer="cut").n_tokens == 11
    with pytest.raises(DataError, match="All 2 examples"):
        Packed(cache, 2, mode="fit", longer="drop")
    with pytest.raises(DataError, match="do not belong together"):
        write_cache(arrays([[10]]), tmp_path / "other", vocab_size=10)
    with pytest.raises(DataError, match="No tokens are left"):
        write_cache(arrays([[]]), tmp_path / "empty", vocab_size=10)
