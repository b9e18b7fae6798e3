"""Where utterances come from: one module a format, all of them giving the same rows."""
