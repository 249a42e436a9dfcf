"""Samples from the policy, their rewards, and what is selected from them."""
