"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine is no finding: examples are checked for what they are, never for how long.
settings.register_profile("roteiro", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("roteiro")
