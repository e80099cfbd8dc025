"""Pictures of people and organisations: uploaded ones, or one drawn from the name."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, TooLarge
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.accounts.policy import check_can_edit
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

MAX_AVATAR_BYTES = 2 * 1024 * 1024
CONTENT_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}

_HUES = (12, 34, 88, 152, 186, 214, 258, 322)
_CELLS = 5


def avatar_url(namespace: Namespace) -> str:
    """The path of the picture; the generated one when none was uploaded."""
    if not namespace.avatar_key:
        return f"/avatars/{quote(namespace.name, safe='')}.svg"
    stem, _, extension = namespace.avatar_key.rpartition("/")[2].rpartition(".")
    return f"/avatars/{quote(namespace.name, safe='')}.{extension}?v={stem[:10]}"


def draw_avatar(name: str) -> str:
    """A square SVG that belongs to the name: always the same, in any case of its letters.

    The picture is a symmetric pattern of rounded cells over two related tones.
    """
    digest = hashlib.sha256(name.lower().encode()).digest()
    hue = _HUES[digest[0] % len(_HUES)]
    turn = 24 + digest[1] % 40
    cells = []
    for row in range(_CELLS):
        for column in range((_CELLS + 1) // 2):
            value = digest[2 + row * 3 + column]
            if value % 5 < 2:
                continue
            opacity = (0.45, 0.7, 0.95)[value % 3]
            for x in {column, _CELLS - 1 - column}:
                cells.append(
                    f'<rect x="{14 + x * 20.4:.1f}" y="{14 + row * 20.4:.1f}" width="18" height="18" '
                    f'rx="5" fill-opacity="{opacity}"/>'
                )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 128 128" width="128" height="128">'
        f'<defs><linearGradient id="g" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color='
        f'"hsl({hue} 58% 52%)"/><stop offset="1" stop-color="hsl({(hue + turn) % 360} 62% 38%)"/>'
        '</linearGradient></defs><rect width="128" height="128" fill="url(#g)"/>'
        f'<g fill="#fff">{"".join(sorted(cells))}</g></svg>'
    )


def image_kind(data: bytes) -> str | None:
    """`png`, `jpg` or `webp` by the first bytes; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return None


def change_avatar(db: Session, rt: Runtime, actor: Actor, namespace: Namespace, data: bytes) -> None:
    """Store an uploaded picture. Raises TooLarge, BadRequest for other formats, Forbidden."""
    check_can_edit(actor, namespace)
    if len(data) > MAX_AVATAR_BYTES:
        raise TooLarge(lazy("The picture is too large: at most 2 MB."), data={"field": "avatar"})
    kind = image_kind(data)
    if kind is None:
        raise BadRequest(lazy("The picture must be a PNG, JPEG or WebP file."), data={"field": "avatar"})
    key = f"avatars/{namespace.object_id}/{hashlib.sha256(data).hexdigest()[:32]}.{kind}"
    rt.objects.put_bytes(key, data)
    namespace.avatar_key = key


def remove_avatar(actor: Actor, namespace: Namespace) -> None:
    """Go back to the generated picture."""
    check_can_edit(actor, namespace)
    namespace.avatar_key = None
