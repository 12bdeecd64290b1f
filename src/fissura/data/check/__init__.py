"""What can be wrong with a data set: near-duplicates across splits, and masks that do not fit."""
