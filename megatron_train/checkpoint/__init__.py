"""Sharded checkpoints and Hugging Face folders."""
