"""What a run says of itself: metric rows, the logger, trackers, completions."""
