"""What classes, units and values are: everything between a stored score and a measure that differs from kind to kind."""
