"""scripts/bench: the runner. It needs nothing but Python's own library; peers are processes."""
