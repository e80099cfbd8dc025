"""The worker registry: every periodic task of the instance, and every outbox handler."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from llmos.app.convert import start_conversions
from llmos.app.mending import mend_in_turn
from llmos.app.worker import Aside, Periodic
from llmos.features.auth.sessions import remove_expired
from llmos.features.buckets.changes import forget_old_changes
from llmos.features.buckets.deletion import purge_deleted_buckets
from llmos.features.buckets.references import collect_unclaimed
from llmos.features.discovery import activity as _activity  # noqa: F401  # days of activity, the feed
from llmos.features.discovery import posts as _posts  # noqa: F401  # threads in the search index
from llmos.features.discovery.feed import forget_old_news
from llmos.features.discussions import forum_events as _forum  # noqa: F401  # the score of topics
from llmos.features.discussions import pulls as _pulls  # noqa: F401  # ties threads to refs that move
from llmos.features.discussions.upload_gc import collect_uploads
from llmos.features.endpoints.controlling import control as control_endpoints
from llmos.features.endpoints.controlling import next_work_at as next_endpoint_at
from llmos.features.evals import events as _eval_events  # noqa: F401  # boards follow pull requests
from llmos.features.evals import storing as _evals  # noqa: F401  # boards follow what is pushed
from llmos.features.evals.comparing import keep_scores
from llmos.features.evals.overlaps import clean_scores
from llmos.features.evals.signing import sign_finished
from llmos.features.jobs.keeping import JobKeeper
from llmos.features.jobs.keeping import next_work_at as next_job_at
from llmos.features.moderation.events import remind_of_cases
from llmos.features.moderation.standing import recount_standings
from llmos.features.notifications import events as _events  # noqa: F401  # who is told of what
from llmos.features.notifications import job_events as _job_events  # noqa: F401  # jobs that ended
from llmos.features.notifications import webhook_events as _webhook_events  # noqa: F401
from llmos.features.notifications.digests import forget_old, queue_digests
from llmos.features.notifications.webhook_delivery import Courier, forget_old_deliveries, next_delivery_at
from llmos.features.quickstart.advance import Guide
from llmos.features.quickstart.demo import ship_all
from llmos.features.quickstart.fetching import fetch_asked
from llmos.features.repos.claims import referenced_oids
from llmos.features.repos.lifecycle import purge_deleted_repos
from llmos.features.repos.trending import recount
from llmos.features.repos.unused_claims import drop_unused_claims
from llmos.features.repos.xet_claims import verify_claims
from llmos.features.rights.erase import erase_due
from llmos.features.rights.export import make_exports
from llmos.features.storage.gc import clean_tmp, collect, plan_gc
from llmos.features.storage.multipart import drop_expired_uploads
from llmos.features.storage.xet.grants import drop_stale_grants
from llmos.features.storage.xet.hot_check import check_hot
from llmos.features.storage.xet.scrub import scrub
from llmos.infra.mail import outgoing as _outgoing  # noqa: F401  # registers the delivery of mail
from llmos.infra.queue.outbox import deliver_due, next_event_at
from llmos.infra.runtime import Runtime

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def periodic_tasks() -> list[Periodic]:
    """In the order of their first run, right after the start: what a crash left is mended first.

    Importing the features here also registers their outbox handlers.
    """
    return [
        Periodic("send mail", 1.0, Aside(_send_mail)),
        Periodic("call webhooks", 1.0, Courier()),
        Periodic("take lost jobs back and start those that are due", 2.0, JobKeeper()),
        Periodic("start and end what serves models", 2.0, control_endpoints),
        Periodic("shorten the log of webhooks", HOUR_S, forget_old_deliveries),
        Periodic("line up digests", 10 * MINUTE_S, queue_digests),
        Periodic("forget old notifications", DAY_S, forget_old),
        Periodic("index what a crash left behind", 10 * MINUTE_S, mend_in_turn),
        Periodic("sign what jobs have evaluated", 2.0, Aside(sign_finished)),
        Periodic("make what comes with it: benchmarks, models, texts", DAY_S, Aside(ship_all)),
        Periodic("go on with first models", 1.0, Guide()),
        Periodic("fetch the chat model that an admin asked for", 2.0, Aside(fetch_asked)),
        Periodic("keep the scores of new records", 5.0, Aside(keep_scores)),
        Periodic("work out scores without items found in training data", 30.0, Aside(clean_scores)),
        Periodic("remove stale temporary files", HOUR_S, clean_tmp),
        Periodic("drop expired multipart uploads", HOUR_S, drop_expired_uploads),
        Periodic("drop xorbs that were sent and never asked for", HOUR_S, drop_stale_grants),
        Periodic("end expired sessions", HOUR_S, remove_expired),
        Periodic("purge deleted repositories", HOUR_S, purge_deleted_repos),
        Periodic("purge deleted buckets", HOUR_S, purge_deleted_buckets),
        Periodic("forget old changes of buckets", HOUR_S, forget_old_changes),
        Periodic("hash large files that were just uploaded", 5.0, Aside(verify_claims)),
        Periodic("turn LFS uploads into chunks", MINUTE_S, Aside(start_conversions)),
        Periodic("read stored chunks again", 5 * MINUTE_S, Aside(scrub)),
        Periodic("read copies of hot files again", HOUR_S, Aside(check_hot)),
        Periodic("remove chunks that nobody uses", DAY_S, Aside(collect_unclaimed)),
        Periodic("give up large objects that no commit named", DAY_S, Aside(drop_unused_claims)),
        Periodic("remove large objects that nobody uses", DAY_S, Aside(_collect_lfs)),
        Periodic("remove pictures that no comment shows", DAY_S, Aside(collect_uploads)),
        Periodic("make and drop exports of people's data", 5.0, make_exports),
        Periodic("delete accounts whose time has come", HOUR_S, erase_due),
        Periodic("forget old news of the feed", DAY_S, forget_old_news),
        Periodic("give people the trust level they have earned", 10 * MINUTE_S, recount_standings),
        Periodic("remind of reports that wait", 10 * MINUTE_S, remind_of_cases),
        Periodic("recount downloads and trending scores", 10 * MINUTE_S, recount),
    ]


def next_work_at(db: Session) -> datetime | None:
    """When rows as they are need the worker, None for never: without a change it may rest until then."""
    times = (next_event_at(db), next_job_at(db), next_delivery_at(db), next_endpoint_at(db))
    return min((at for at in times if at is not None), default=None)


def _send_mail(rt: Runtime) -> None:
    # A mail server that does not answer must not hold up what needs no network.
    while deliver_due(rt.database, side="outside"):
        pass


def _collect_lfs(rt: Runtime) -> None:
    with rt.database.reading() as db:
        plan = plan_gc(db, rt, referenced_oids, find_strays=False)
    collect(rt, plan, referenced_oids)
