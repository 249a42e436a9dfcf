"""Small models that are fitted on the CPU, and how their predictions are judged."""
