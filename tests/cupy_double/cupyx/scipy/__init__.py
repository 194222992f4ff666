"""As SciPy."""
