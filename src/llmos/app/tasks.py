"""The worker registry: every periodic task of the instance, and every outbox handler."""

from __future__ import annotations

from llmos.app.convert import start_conversions
from llmos.app.worker import Aside, Periodic
from llmos.features.auth.sessions import remove_expired
from llmos.features.buckets.references import collect_unclaimed
from llmos.features.repos.claims import referenced_oids
from llmos.features.repos.lifecycle import purge_deleted_repos
from llmos.features.repos.push import reconcile
from llmos.features.repos.trending import recount
from llmos.features.repos.xet_claims import verify_claims
from llmos.features.storage.gc import clean_tmp, collect, plan_gc
from llmos.features.storage.multipart import drop_expired_uploads
from llmos.features.storage.xet.scrub import scrub
from llmos.infra.mail import outgoing as _outgoing  # noqa: F401  # registers the delivery of mail
from llmos.infra.runtime import Runtime

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def periodic_tasks() -> list[Periodic]:
    """In the order of their first run, right after the start: what a crash left is mended first.

    Importing the features here also registers their outbox handlers.
    """
    return [
        Periodic("index what a crash left behind", 10 * MINUTE_S, reconcile),
        Periodic("remove stale temporary files", HOUR_S, clean_tmp),
        Periodic("drop expired multipart uploads", HOUR_S, drop_expired_uploads),
        Periodic("end expired sessions", HOUR_S, remove_expired),
        Periodic("purge deleted repositories", HOUR_S, purge_deleted_repos),
        Periodic("hash large files that were just uploaded", 5.0, Aside(verify_claims)),
        Periodic("turn LFS uploads into chunks", MINUTE_S, Aside(start_conversions)),
        Periodic("read stored chunks again", 5 * MINUTE_S, Aside(scrub)),
        Periodic("remove chunks that nobody uses", DAY_S, Aside(collect_unclaimed)),
        Periodic("remove large objects that nobody uses", DAY_S, Aside(_collect_lfs)),
        Periodic("recount downloads and trending scores", 10 * MINUTE_S, recount),
    ]


def _collect_lfs(rt: Runtime) -> None:
    with rt.database.reading() as db:
        plan = plan_gc(db, rt, referenced_oids)
    collect(rt, plan, referenced_oids)
