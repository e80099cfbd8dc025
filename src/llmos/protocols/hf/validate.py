"""Hub protocol: the check of a card's metadata, on the path of every README upload."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import BadRequest
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.cards.validate import validate_card
from llmos.features.repos.naming import parse_repo_type
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.answers import JsonBody, answer

router = Router(tags=["repositories"])


@router.post("/api/validate-yaml")
def post_validate_yaml(actor: ActorDep, request: Request, body: JsonBody) -> Response:
    """JSON for every status; plain text of the errors where only that is accepted."""
    content = body.get("content")
    if not isinstance(content, str):
        raise BadRequest("content is missing: it must be the text of the card.")
    report = validate_card(content, parse_repo_type(body.get("repoType")).value)
    errors = [{"message": message} for message in report.errors]
    warnings = [{"message": message} for message in report.warnings]
    if not errors:
        return answer({"errors": [], "warnings": warnings})
    if request.headers.get("accept", "").startswith("text/plain"):
        lines = "\n".join(f"- Error: {message}" for message in report.errors)
        return Response(lines, 400, media_type="text/plain")
    message = "Invalid metadata in README.md."
    return answer({"error": message, "errors": errors, "warnings": warnings}, status=400)
