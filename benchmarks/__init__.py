"""What fastnn costs beside its peers and the machine's own limit, measured in one run (see README.md)."""
