"""Quality and speed of sampling."""
