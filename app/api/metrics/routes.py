"""/metrics: for Prometheus"""

from __future__ import annotations

from flask import Response

from app.api.blueprint import OpenBlueprint
from app.api.metrics.schemas import CONTENT
from app.api.metrics.scraping import asked_text, check_access

blueprint = OpenBlueprint("Metrics", __name__, description="Metrics of this process and of the installation, for Prometheus")


@blueprint.get("/metrics")
@blueprint.doc(responses={"200": {"description": "The metrics", "content": CONTENT}})
def get_metrics() -> Response:
    """Read all metrics, in the format of Prometheus or as OpenMetrics"""
    check_access()
    text, media_type = asked_text()
    return Response(text, content_type=media_type, headers={"Cache-Control": "no-store"})
