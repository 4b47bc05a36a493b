"""Tools for developing eventlab; not part of the package."""
