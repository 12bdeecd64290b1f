"""Results as files that people open: tables, maps and figures, from plain records."""
