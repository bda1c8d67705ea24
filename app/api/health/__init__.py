"""Health: /health, /health/detailed, /live and /ready."""
