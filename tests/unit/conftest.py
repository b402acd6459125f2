"""Hypothesis for a shared machine: the same examples in every run, no database, no deadline."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "default run",
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default run")
