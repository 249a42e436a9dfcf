"""Small models that are fitted on the CPU, and the figures that judge their predictions."""
