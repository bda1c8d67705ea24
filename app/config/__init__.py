"""Settings: the environment, read once into a typed object. Each variable may also be given as `NAME_FILE`."""

from app.config.reading import load_settings, secret_files
from app.config.settings import Settings
from app.config.values import MOST_MEASURED_JOBS, ROUTE, SERVICE_URL

__all__ = ["MOST_MEASURED_JOBS", "ROUTE", "SERVICE_URL", "Settings", "load_settings", "secret_files"]
