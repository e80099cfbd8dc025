"""Addresses and rows of buckets as their pages show them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from llmos.features.buckets.models import Bucket


def bucket_href(bucket_name: str) -> str:
    return f"/buckets/{bucket_name}"


def tree_href(bucket_name: str, folder: str) -> str:
    href = bucket_href(bucket_name)
    return f"{href}/tree/{quote(folder, safe='/')}" if folder else href


def bucket_row(bucket: Bucket) -> dict[str, Any]:
    return {
        "name": bucket.bucket_name,
        "href": bucket_href(bucket.bucket_name),
        "is_private": bucket.is_private,
        "file_count": bucket.file_count,
        "size_bytes": bucket.size_bytes,
        "updated_at": bucket.updated_at,
    }
