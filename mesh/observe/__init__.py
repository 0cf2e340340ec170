"""Floor 6: what a running node tells its operator."""

from mesh.observe.limiter import LogLimiter

__all__ = ["LogLimiter"]
