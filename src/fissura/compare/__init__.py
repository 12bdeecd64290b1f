"""Comparisons of networks and enhancers at equal budgets: train every cell of a grid, score it, say how sure that is.

Needs the extra ``fissura[train]``.
"""
