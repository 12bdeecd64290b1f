"""Masks with exact answers. A pixel is crack if its centre lies inside the shape."""

import numpy as np


def grid(hw):
    return np.mgrid[: hw[0], : hw[1]].astype(np.float64)


def unit(degrees):
    """Direction (row, column) at an angle counter-clockwise from the picture's right."""
    angle = np.deg2rad(degrees)
    return np.array([-np.sin(angle), np.cos(angle)])


def stroke(start_rc, stop_rc, width, hw):
    """A straight bar with square ends."""
    start, stop = np.asarray(start_rc, float), np.asarray(stop_rc, float)
    length = np.linalg.norm(stop - start)
    along = (stop - start) / length
    row, column = grid(hw)
    x = (row - start[0]) * along[0] + (column - start[1]) * along[1]
    y = (row - start[0]) * along[1] - (column - start[1]) * along[0]
    return (x >= 0) & (x <= length) & (np.abs(y) <= width / 2)


def bar(length, width, degrees, hw=(240, 240), centre_rc=(120.3, 119.6)):
    half = unit(degrees) * length / 2
    return stroke(np.array(centre_rc) - half, np.array(centre_rc) + half, width, hw)


def ring(radius, width, hw=(240, 240), centre_rc=(120.3, 119.6)):
    row, column = grid(hw)
    return np.abs(np.hypot(row - centre_rc[0], column - centre_rc[1]) - radius) <= width / 2


def arc(radius, width, start_deg, stop_deg, hw=(240, 240), centre_rc=(120.3, 119.6)):
    row, column = grid(hw)
    angle = np.degrees(np.arctan2(centre_rc[0] - row, column - centre_rc[1])) % 360
    return ring(radius, width, hw, centre_rc) & (angle >= start_deg) & (angle <= stop_deg)


def direction_deg(branch):
    across = branch.points_rc[-1] - branch.points_rc[0]
    return np.degrees(np.arctan2(-across[0], across[1])) % 180


def angle_between(a_deg, b_deg):
    return abs((a_deg - b_deg + 90) % 180 - 90)


def mean_width(graph):
    """Length-weighted mean of the mask widths."""
    return sum(branch.length_px * branch.mask_width_px.mean() for branch in graph.branches) / graph.length_px
