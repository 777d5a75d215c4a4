"""Load on the server, start-up time, and busy machines."""
