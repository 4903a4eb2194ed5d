"""What happens while a model trains: records by epoch."""
