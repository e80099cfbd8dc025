"""Signed strings: one text for one payload, and nothing else passes."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from llmos.infra.security.signing import Signer

SIGNER = Signer(b"k" * 32)
LETTERS = string.ascii_letters + string.digits + "-_=.+/ ü\n"


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=3), st.data())
def test_no_letter_can_be_changed(payload: dict[str, int], data: st.DataObject) -> None:
    """Also not one of which base64 drops a part: such a text would be a second name of the same link."""
    signed = SIGNER.sign("link", payload)
    assert SIGNER.verify("link", signed) == payload
    assert SIGNER.verify("other", signed) is None
    # The last letter of either part is the one that holds bits to spare.
    places = [signed.index(".") - 1, len(signed) - 1, data.draw(st.integers(0, len(signed) - 1))]
    for place in places:
        for letter in LETTERS:
            changed = signed[:place] + letter + signed[place + 1 :]
            assert changed == signed or SIGNER.verify("link", changed) is None, (signed, changed)
    for changed in (signed + "=", signed + "\n", signed + "A", signed[:-1], signed.replace(".", "")):
        assert SIGNER.verify("link", changed) is None


def test_an_expired_one_is_refused_after_its_grace() -> None:
    signed = SIGNER.sign("link", {"a": 1}, ttl_s=-10)
    assert SIGNER.verify("link", signed) is None
    found = SIGNER.verify("link", signed, grace_s=60)
    assert found is not None
    assert found["a"] == 1
