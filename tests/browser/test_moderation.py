"""Somebody reports, a moderator judges, the author appeals, another moderator undoes it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from kit.browser import PASSWORD
from kit.people import add_person
from kit.server import LiveServer
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.policy import access_user
from llmos.features.auth.credentials import actor_for_user
from llmos.features.discussions.categories import access_category, ensure_categories
from llmos.features.discussions.comments import add_comment
from llmos.features.discussions.threads import open_topic
from llmos.features.moderation.models import Standing
from llmos.infra.i18n import translator
from llmos.infra.runtime import open_runtime
from llmos.infra.security.passwords import hash_password
from llmos.infra.settings import Settings

from .conftest import Open
from .test_discussions import picture
from .test_quality import AXE, VIOLATIONS

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def town(site: LiveServer) -> dict[str, int]:
    """Two topics with a rude reply each; mira is a moderator beside the administrator."""
    extra: dict[str, Any] = {}
    if "LLMOS_DATABASE_URL" in site.env:
        extra["database_url"] = site.env["LLMOS_DATABASE_URL"]
    rt = open_runtime(Settings(home=site.home, rate_limits=False, **extra))
    ensure_categories(rt)
    topics = {}
    with rt.database.writing() as db:
        password_hash = hash_password(PASSWORD)
        for name in ("mira", "rude-tom"):
            person = add_person(db, name)
            person.password_hash = password_hash
            db.add(Standing(user_id=person.id, level=0, is_fixed=True, is_moderator=name == "mira"))
        db.flush()
        ada, tom = (actor_for_user(db, access_user(db, OPERATOR, name)) for name in ("ada", "rude-tom"))
        for locale in ("en", "zh"):
            topic = open_topic(db, ada, access_category(db, "help"), f"Loss is NaN ({locale})", "Why?")
            topics[locale] = topic.id
            add_comment(db, tom, topic, f"Only a **fool** asks that ({locale})")
    rt.close()
    return topics


def check(page: Page) -> None:
    page.evaluate(AXE)
    assert page.evaluate(VIOLATIONS) == [], page.url


@pytest.mark.parametrize(("locale", "width"), [("en", 1280), ("zh", 390)])
def test_report_judge_appeal_undo(open_page: Open, town: dict[str, int], locale: str, width: int) -> None:
    _ = translator("zh" if locale == "zh" else "en").gettext
    options = {"width": width, "locale": "zh-CN" if locale == "zh" else "en-GB",
               "color_scheme": "dark" if locale == "zh" else "light"}  # fmt: skip
    words, tag = f"Only a fool asks that ({locale})", f"{locale}-{width}"

    page = open_page(f"/forum/{town[locale]}", who="grace", **options)
    rude = page.locator(".comment").filter(has_text=words)
    rude.locator(".comment-head summary").click()
    rude.get_by_role("link", name=_("Report"), exact=True).click()
    dialog = page.get_by_role("dialog", name=_("Report"))
    dialog.get_by_label(_("Insults, harassment or hate")).check()
    dialog.get_by_label(_("What should moderators know?")).fill("In every thread")
    check(page)
    picture(page, "moderation-report", tag)
    dialog.get_by_role("button", name=_("Report")).click()
    thanks = _("Thank you. Moderators will look at it; nobody else learns that you reported it.")
    expect(page.get_by_role("status").filter(has_text=thanks)).to_be_visible()

    page = open_page("/moderation", who="mira", **options)
    picture(page, "moderation-queue", tag)
    page.locator(".case-row").filter(has_text=f"({locale})").get_by_role("heading").get_by_role(
        "link"
    ).click()
    expect(page.locator(".report-list")).to_contain_text("In every thread")
    picture(page, "moderation-case", tag)
    # By keyboard alone: the decision, its reason, the sanction.
    page.locator("[name=decision]").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("No insults, please")
    page.select_option("[name=sanction]", "suspend")
    page.locator("#judge").get_by_role("button", name=_("Judge")).press("Enter")
    page.wait_for_url("**/moderation")
    expect(page.get_by_role("status").filter(has_text=_("The case is judged."))).to_be_visible()

    page = tom = open_page("/", who="rude-tom", **options)
    page.get_by_role(
        "link", name=_("Your account is suspended: see why, until when, and how to appeal.")
    ).click()
    expect(page.locator("main")).to_contain_text("No insults, please")
    measure = page.locator(".measure").filter(has_text=_("Your account is suspended")).first
    measure.locator("summary").click()
    check(page)
    picture(page, "moderation-standing", tag)
    measure.get_by_label(_("Why was this wrong?")).fill("It was a quotation")
    measure.get_by_role("button", name=_("Send the appeal")).click()
    expect(page.locator(".appeal-own").first).to_contain_text("It was a quotation")

    page = open_page("/moderation/appeals", who="root-admin", **options)
    appeal = page.locator(".appeal").filter(has_text="It was a quotation")
    picture(page, "moderation-appeals", tag)
    appeal.get_by_label(_("Answer")).fill("You are right")
    appeal.get_by_role("button", name=_("Uphold: undo the measure")).click()
    expect(page.get_by_role("status").filter(has_text=_("The appeal is answered."))).to_be_visible()
    page.goto("/moderation/log")
    hidden = page.locator(".measure").filter(has_text=f"({locale})").filter(has_text=_("Hidden")).first
    picture(page, "moderation-log", tag)
    hidden.get_by_role("button").click()
    expect(page.get_by_role("status").filter(has_text=_("Undone."))).to_be_visible()

    page.goto(f"/forum/{town[locale]}")
    expect(page.locator(".comment").filter(has_text=words)).to_be_visible()
    tom.goto("/moderation/standing")
    expect(tom.locator("main")).to_contain_text("You are right")
    expect(tom.locator(".banner-notice")).to_have_count(0)
