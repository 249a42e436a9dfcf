"""What a run says: rows of metrics.jsonl, lines, trackers, slow processes, and completions."""
