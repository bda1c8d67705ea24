"""`jobwright doctor`: checks everything that the promises rest on, and says how to fix each problem."""

from app.doctor.doctor import Doctor

__all__ = ["Doctor"]
