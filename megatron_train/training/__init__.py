"""One optimizer step: its losses, its schedule, its optimizer, its guard and its evaluation."""
