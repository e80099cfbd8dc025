"""Security headers of pages."""

from __future__ import annotations

from llmos.infra.web.page_headers import PAGE_HEADERS

__all__ = ["PAGE_HEADERS"]
