"""The report page: whether the iterations paid, what they cost, and where to look when they did not."""
