"""Jobs in a Flask application: `flask --app examples/flask_app run --port 7006`."""

from __future__ import annotations

from typing import Any

from flask import Flask

from jobwright_client import JobContext, Service

app = Flask(__name__)
service = Service("report-service", version="1.0.0")


@service.job("nightly-report", cron="30 2 * * *", time_zone="Europe/Berlin", job_type="report")
def nightly_report(context: JobContext[Any], *, pages: int = 3) -> dict[str, Any]:
    """Write the nightly report."""
    for _ in context.track(range(pages)):
        context.succeeded()
    return {"pages": pages}


@app.get("/")
def hello() -> str:
    """Answers what is not a call of Jobwright."""
    return "The application"


app.wsgi_app = service.wsgi(app.wsgi_app)  # type: ignore[method-assign, assignment]  # as Flask documents it
service.drain_on_sigterm()
service.start()
