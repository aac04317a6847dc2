"""Settings of all tests: how many examples each property is tried on."""

from hypothesis import HealthCheck, settings

# One example of a kernel may take as long as a cold cache: time is no property here.
settings.register_profile("fast", max_examples=40, deadline=None, derandomize=True, database=None)
settings.register_profile(
    "thorough", max_examples=4000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fast")
