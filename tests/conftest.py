"""Profiles of hypothesis: how hard the property tests try; and that interrupts are heeded."""

import signal

from hypothesis import HealthCheck, Phase, settings

# A shell that runs the tests in the background has them ignore interrupts, and whatever they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every machine and in every run: a test that fails only now and then tells
# the wrong person. No deadline either: it measures the machine, and pytest's time-out stays.
settings.register_profile(
    "default", max_examples=100, derandomize=True, deadline=None, print_blob=True
)
# New examples on every run, many of them: `make slow`.
settings.register_profile(
    "slow",
    max_examples=5_000,
    stateful_step_count=200,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
# For thousands of runs (`make mutants`), and where lines matter and not cases (`make coverage`).
# That an example fails is enough: to find a smaller one costs more than all the rest.
settings.register_profile(
    "few",
    settings.get_profile("default"),
    max_examples=25,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("default")
