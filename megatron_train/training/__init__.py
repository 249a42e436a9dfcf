"""One optimizer step: losses, schedule, optimizer and the guards around it."""
