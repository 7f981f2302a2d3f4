"""Figures, not tests: nothing here passes or fails. ``python -m tests.bench`` prints medians."""
