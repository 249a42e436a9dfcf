"""What every job shares: session, Delta store, pinned reads, lineage, resume, progress."""
