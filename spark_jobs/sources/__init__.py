"""Reads code from archives and folders, and finds the language and licence of their files."""
