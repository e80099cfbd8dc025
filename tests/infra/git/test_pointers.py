from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.infra.git.pointers import LfsPointer, format_pointer, parse_pointer

OID = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
VERSION = b"version https://git-lfs.github.com/spec/v1\n"


def test_the_form_is_the_one_of_the_specification() -> None:
    text = VERSION + f"oid sha256:{OID}\nsize 12345\n".encode()
    assert format_pointer(OID, 12345) == text
    assert parse_pointer(text) == LfsPointer(OID, 12345, len(text))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 10**18))
def test_what_is_written_is_read(digest: bytes, size: int) -> None:
    text = format_pointer(digest.hex(), size)
    assert parse_pointer(text) == LfsPointer(digest.hex(), size, len(text))


def test_extensions_in_sorted_order_are_accepted() -> None:
    text = VERSION + f"ext-0-foo sha256:{OID}\noid sha256:{OID}\nsize 1\n".encode()
    assert parse_pointer(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        VERSION,
        b"version https://example.org/v2\n" + f"oid sha256:{OID}\nsize 1\n".encode(),
        VERSION + f"size 1\noid sha256:{OID}\n".encode(),
        VERSION + f"oid sha256:{OID}\nsize 1".encode(),
        VERSION + f"oid sha256:{OID}\nsize -1\n".encode(),
        VERSION + f"oid sha256:{OID}\nsize 01\n".encode(),
        VERSION + f"oid sha256:{OID.upper()}\nsize 1\n".encode(),
        VERSION + f"oid md5:{OID}\nsize 1\n".encode(),
        VERSION + f"oid sha256:{OID}\noid sha256:{OID}\nsize 1\n".encode(),
        VERSION + f"oid sha256:{OID}\nsize 1\n\n".encode(),
        VERSION + f"oid sha256:{OID}\nsize 1\n".encode() + b"z " + b"a" * 1024 + b"\n",
    ],
)
def test_other_texts_are_ordinary_files(text: bytes) -> None:
    assert parse_pointer(text) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data: bytes) -> None:
    parse_pointer(VERSION + data)


@pytest.mark.parametrize(("oid", "size"), [("abc", 1), (OID, -1), (OID + "\n", 1)])
def test_wrong_facts_are_not_written(oid: str, size: int) -> None:
    with pytest.raises(ValueError, match="LFS"):
        format_pointer(oid, size)
