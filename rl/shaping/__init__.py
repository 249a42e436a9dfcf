"""Rewards beyond the verdict: fractions of tests, functions of the user's, length and format."""
