"""Labels of an oracle, scorers of quality, and the check of a scorer's drift."""
