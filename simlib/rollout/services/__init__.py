"""The update services: each reads its own configuration, and decides as the service does."""
