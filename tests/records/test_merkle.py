"""The tree of RFC 6962: known roots, and proofs that hold for what they prove and nothing else."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.records.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

# The inputs and roots that implementations of Certificate Transparency share as test vectors.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(bytes.fromhex(text)) for text in INPUTS]


@pytest.mark.parametrize("size", range(9))
def test_roots_of_the_shared_vectors(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size]


def test_proofs_of_the_shared_vectors() -> None:
    five = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [step.hex() for step in inclusion_proof(LEAVES, 5)] == five
    six_to_eight = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [step.hex() for step in consistency_proof(LEAVES, 6)] == six_to_eight


@given(st.integers(1, 300), st.data())
def test_a_leaf_is_where_it_is_and_nowhere_else(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(b"%d" % n) for n in range(size)]
    index = data.draw(st.integers(0, size - 1))
    proof, top = inclusion_proof(leaves, index), root(leaves)
    assert verify_inclusion(leaves[index], index, size, proof, top)
    other = data.draw(st.integers(-1, size + 1))
    assert verify_inclusion(leaves[index], other, size, proof, top) == (other == index)
    assert not verify_inclusion(leaf_hash(b"x"), index, size, proof, top)
    assert not verify_inclusion(leaves[index], index, size, proof, leaf_hash(b"x"))
    assert not verify_inclusion(leaves[index], index, size, [*proof, top], top)
    if proof:
        assert not verify_inclusion(leaves[index], index, size, proof[1:], top)
        at = data.draw(st.integers(0, len(proof) - 1))
        bent = [*proof[:at], leaf_hash(proof[at]), *proof[at + 1 :]]
        assert not verify_inclusion(leaves[index], index, size, bent, top)


@given(st.integers(0, 200), st.integers(0, 200), st.data())
def test_a_tree_begins_with_what_it_began_with(one: int, other: int, data: st.DataObject) -> None:
    first, second = sorted((one, other))
    leaves = [leaf_hash(b"%d" % n) for n in range(second)]
    old, new = root(leaves[:first]), root(leaves)
    proof = consistency_proof(leaves, first)
    assert verify_consistency(first, second, old, new, proof)
    assert not verify_consistency(first, second, old, leaf_hash(b"x"), proof) or first == 0 < second
    assert not verify_consistency(first, second, leaf_hash(b"x"), new, proof)
    assert not verify_consistency(first, second, old, new, [*proof, new])
    if 0 < first < second:
        rewritten = [leaf_hash(b"x"), *leaves[1:]]
        assert not verify_consistency(
            first, second, old, root(rewritten), consistency_proof(rewritten, first)
        )
        assert not verify_consistency(first, second, old, new, proof[:-1])
        wrong = data.draw(st.integers(0, second))
        if wrong != first:
            assert not verify_consistency(wrong, second, old, new, proof) or wrong == 0 == first


def test_a_node_never_passes_for_a_leaf() -> None:
    left, right = LEAVES[0], LEAVES[1]
    assert leaf_hash(left + right) != node_hash(left, right)


def test_there_is_no_leaf_outside_the_tree() -> None:
    assert root([]) == EMPTY_ROOT
    for index in (-1, 8):
        with pytest.raises(IndexError):
            inclusion_proof(LEAVES, index)
    with pytest.raises(IndexError):
        consistency_proof(LEAVES, 9)
    assert not verify_inclusion(LEAVES[0], 0, 0, [], EMPTY_ROOT)


def test_long_logs_have_short_proofs() -> None:
    random = Random(1)
    leaves = [random.randbytes(32) for _ in range(10_000)]
    proof = inclusion_proof(leaves, 9_999)
    assert len(proof) <= 14
    assert verify_inclusion(leaves[-1], 9_999, 10_000, proof, root(leaves))
