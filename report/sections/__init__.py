"""One file per section: `section(run)` returns it, or raises `Missing` without its data."""
