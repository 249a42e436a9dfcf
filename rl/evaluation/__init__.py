"""Scores of an evaluation: pass@k, comparisons, held-out code, and the page of problems."""
