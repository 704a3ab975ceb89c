"""Schedule files: what a cron expression means, and one writer for each scheduler."""
