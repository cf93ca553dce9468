"""What is true: process settings, the model catalogue, connections, credentials and where they are kept."""
