"""The schedule and the worker processes: loops that read the clock and call services. No rules live here."""
