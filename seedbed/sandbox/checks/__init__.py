"""Texts of code that a tester or a jail runs for a data set, each beside the rule it follows."""
