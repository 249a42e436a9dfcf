"""Fuzzing of what reads bytes of strangers (docs/testing.md)."""
