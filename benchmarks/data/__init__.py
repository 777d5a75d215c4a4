"""Reading clips, and rendering those of the playroom."""
