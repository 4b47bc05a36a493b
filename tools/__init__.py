"""What the makers of the notebooks use; no part of the package."""
