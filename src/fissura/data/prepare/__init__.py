"""Public data sets, as their authors hand them out, in our layout."""
