"""Figures of an evaluation: pass@k, comparisons, held-out code, the page of problems."""
