"""What ``fissura data`` runs: check, import, export and prepare, with progress and reports."""
