"""Checks a bundle: no server, no network, and no belief in anything that is not signed.

The signed statement is the payload of envelope.json. Everything else, statement.json included, is
compared with it. Where the signature does not hold, the same comparisons are made all the same: the
bundle is refused, and they say what was touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmos.records import digests
from llmos.records.bundle import (
    ENVELOPE_FILE,
    LOG_FILE,
    RECIPE_FILE,
    STATEMENT_FILE,
    Bundle,
    parse_statement,
    read_bundle,
)
from llmos.records.canonical import parse
from llmos.records.check_places import check_data, check_model
from llmos.records.check_samples import check_metrics, check_samples
from llmos.records.differences import report_differences
from llmos.records.envelope import is_tree_head_signed, list_signers, payload_of
from llmos.records.errors import RecordError
from llmos.records.facts import subjects
from llmos.records.keys import PublicKey
from llmos.records.merkle import leaf_hash, verify_inclusion
from llmos.records.model_files import weights_digest
from llmos.records.report import Report
from llmos.wire.evaluation import LogProof, Statement


def verify_bundle(
    folder: Path,
    keys: Sequence[PublicKey],
    *,
    model_dir: Path | None = None,
    data_dir: Path | None = None,
    use_places: bool = False,
) -> Report:
    """Check a bundle against the public keys of those who may sign.

    `model_dir` and `data_dir` are checked as well; with `use_places`, the folders of this machine that
    places.json names stand in for them. Raises RecordError only where there is no statement to speak of:
    everything else, hostile content too, ends in the report.
    """
    bundle = read_bundle(folder)
    report = Report(folder)
    raw, statement = _believe(bundle, keys, report)
    report.statement = statement
    for name, why in bundle.broken.items():
        if name in (LOG_FILE, RECIPE_FILE):
            report.found("log position" if name == LOG_FILE else "recipe", why, [name])
    _check_itself(raw, statement, report)
    _check_recipe(bundle, statement, report)
    facts = check_samples(folder, statement.predicate, report)
    check_metrics(facts, statement.predicate, report)
    if use_places:
        model_dir = model_dir or _hinted(bundle.places.model)
        data_dir = data_dir or _hinted(bundle.places.data)
    _check_model(model_dir, statement, report)
    if facts is None or data_dir is None:
        report.skip("data rows", "name the benchmark's data with --data" if facts else "there are no samples")
    else:
        check_data(data_dir, facts, statement.predicate.fewshot.rows, report)
    _check_log(bundle, raw, keys, report)
    return report


def _believe(bundle: Bundle, keys: Sequence[PublicKey], report: Report) -> tuple[bytes, Statement]:
    """The statement that everything is compared with. Raises RecordError when none can be read."""
    payload = _check_signature(bundle, keys, report)
    readable: dict[bytes, Statement] = {}
    reasons: list[RecordError] = []
    for raw, name in ((payload, ENVELOPE_FILE), (bundle.statement_bytes, STATEMENT_FILE)):
        if raw is not None and raw not in readable:
            try:
                readable[raw] = parse_statement(raw, name=name)
            except RecordError as error:
                reasons.append(error)
    if not readable:
        raise reasons[0] if reasons else RecordError(f"{bundle.folder} holds no statement that can be read.")
    _compare_statements(bundle, payload, report)
    if report.signers and payload in readable:
        return payload, readable[payload]
    # Nobody stands behind either: the one that is whole in itself tells more of the other.
    whole = [raw for raw in readable if _is_named_rightly(raw)]
    chosen = (whole or list(readable))[0]
    return chosen, readable[chosen]


def _check_signature(bundle: Bundle, keys: Sequence[PublicKey], report: Report) -> bytes | None:
    """The payload of the envelope; the keys that signed it go into the report."""
    if bundle.envelope is None:
        why = bundle.broken.get(ENVELOPE_FILE, f"there is no {ENVELOPE_FILE}: nobody has signed this.")
        report.found("signer", why, [ENVELOPE_FILE])
        return None
    try:
        report.signers = [key.keyid for key in list_signers(bundle.envelope, keys)]
        payload = payload_of(bundle.envelope)
    except RecordError as error:
        report.found("signer", error.message, [ENVELOPE_FILE])
        return None
    report.checked.append("signature")
    given = {key.keyid for key in keys}
    named = [signature.keyid for signature in bundle.envelope.signatures]
    if not report.signers and given.isdisjoint(named):
        expected = ", ".join(sorted(given)) or "nobody"
        report.found("signer", f"signed by {', '.join(named)}, not by {expected}.", [ENVELOPE_FILE])
    elif not report.signers:
        text = f"the signature of {', '.join(named)} does not hold: it, or the statement, was changed."
        report.found("signer", text, [ENVELOPE_FILE])
    return payload


def _compare_statements(bundle: Bundle, payload: bytes | None, report: Report) -> None:
    shown = bundle.statement_bytes
    if shown is None:
        why = bundle.broken.get(STATEMENT_FILE, f"there is no {STATEMENT_FILE}.")
        report.found("statement", why, [STATEMENT_FILE])
        return
    report.checked.append("statement")
    if payload is None or payload == shown:
        return
    try:
        signed_value, shown_value = parse(payload, name=ENVELOPE_FILE), parse(shown, name=STATEMENT_FILE)
    except RecordError as error:
        report.found("statement", error.message, [error.data.get("file", "")])
        return
    before = len(report.findings)
    report_differences(report, signed_value, shown_value)
    if len(report.findings) == before:
        report.found("statement", "statement.json says the same as the envelope in other bytes.")


def _check_itself(raw: bytes, statement: Statement, report: Report) -> None:
    """What a statement says twice agrees; whoever changes one value seldom finds all others."""
    predicate = statement.predicate
    if digests.lock_digest(predicate.environment.packages) != predicate.environment.lock_sha256:
        report.found("package lock", "the packages are not those of lock_sha256.")
    report.checked.append("package lock")
    if digests.task_digest(predicate.benchmark.task) != predicate.benchmark.task_sha256:
        report.found("task", "the task is not that of task_sha256.")
    model = predicate.model
    if model.weights_sha256 is not None and weights_digest(model.files) != model.weights_sha256:
        report.found("weights", "the files are not those of weights_sha256.")
    if subjects(model, predicate.samples.file_sha256) != statement.subject:
        report.found("weights", "the subjects of the statement are not the weights it tells of.")
    if not _is_named_rightly(raw):
        report.found("statement", "record_id does not follow from the rest: some field was changed.")


def _is_named_rightly(raw: bytes) -> bool:
    value: dict[str, Any] = parse(raw, name=STATEMENT_FILE)
    return bool(digests.record_id(value) == value["predicate"]["record_id"])


def _check_recipe(bundle: Bundle, statement: Statement, report: Report) -> None:
    if bundle.recipe is None:
        if RECIPE_FILE not in bundle.broken:
            report.skip("recipe", f"there is no {RECIPE_FILE}")
        return
    plan, predicate = bundle.recipe.evaluation, statement.predicate
    if plan.seed != predicate.settings.seed:
        text = f"{RECIPE_FILE} says {plan.seed}, the statement {predicate.settings.seed}."
        report.found("seed", text, [RECIPE_FILE])
    if plan.fewshot is not None and plan.fewshot != predicate.fewshot.count:
        text = f"{RECIPE_FILE} says {plan.fewshot} examples, the statement {predicate.fewshot.count}."
        report.found("few-shot order", text, [RECIPE_FILE])
    report.checked.append("seed")


def _check_model(folder: Path | None, statement: Statement, report: Report) -> None:
    model = statement.predicate.model
    what = "weights, tokenizer, chat template"
    if model.endpoint is not None:
        report.skip(what, "the model ran behind an endpoint; nobody can know which files it read")
    elif folder is None:
        report.skip(what, "name the folder of the model with --model")
    else:
        check_model(folder, model, report)


def _check_log(bundle: Bundle, raw: bytes, keys: Sequence[PublicKey], report: Report) -> None:
    if bundle.log is None:
        if LOG_FILE not in bundle.broken:
            report.skip(
                "log position", f"there is no {LOG_FILE}: the record is in no log, or nobody asked it"
            )
        return
    why = _log_problem(bundle.log, raw, keys)
    if why:
        report.found("log position", why, [LOG_FILE])
    report.checked.append("log position")


def _log_problem(log: LogProof, raw: bytes, keys: Sequence[PublicKey]) -> str:
    """What is wrong with the place of a statement in a log; empty when nothing is."""
    head = log.tree_head
    if (head.log_id, head.tree_size, head.root) != (log.log_id, log.tree_size, log.root):
        return "the proof is of another tree than the signed tree head."
    key = next((key for key in keys if key.keyid == log.log_id), None)
    if key is None:
        return f"the log belongs to {log.log_id}, whose key was not given."
    if head.keyid != log.log_id or not is_tree_head_signed(head, key):
        return "the signature of the tree head does not hold."
    proof = [bytes.fromhex(step) for step in log.proof]
    if not verify_inclusion(leaf_hash(raw), log.leaf_index, log.tree_size, proof, bytes.fromhex(log.root)):
        return f"the record is not entry {log.leaf_index} of the {log.tree_size} entries of the log."
    return ""


def _hinted(place: str | None) -> Path | None:
    """What a hint names on this machine, if it is there; a relative one would depend on where one stands."""
    path = Path(place) if place else None
    try:
        return path if path and path.is_absolute() and path.exists() else None
    except (OSError, ValueError):
        return None
