"""Report page: gains of the iterations, their cost, and where to look when they did not pay."""
