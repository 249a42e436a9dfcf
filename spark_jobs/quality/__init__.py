"""What rates the quality of contents: labels of an oracle, scorers, and their drift guard."""
