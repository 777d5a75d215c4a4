"""What all reports share: the folder and the charts."""
