"""What is installed, held against the advisories that are known of it."""
