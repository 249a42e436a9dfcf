"""Process groups, context parallelism, the CPU backend, and what a layout costs."""
