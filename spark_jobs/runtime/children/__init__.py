"""Runs Python functions over Arrow batches in child processes, so that they share no lock."""
