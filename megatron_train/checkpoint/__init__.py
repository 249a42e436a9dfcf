"""Checkpoints in any layout, and Hugging Face folders."""
