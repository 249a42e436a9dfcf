"""The library under the three programs: tables, queries, kernels, inference and the sandbox."""
