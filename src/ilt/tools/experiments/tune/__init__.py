"""Settings by themselves: search over params.yaml, each trial a DVC experiment."""
