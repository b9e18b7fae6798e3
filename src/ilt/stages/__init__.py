"""The stages of dvc.yaml, a module each: what comes in, what goes out.

Each is run as `python -m ilt.stages.NAME [ITERATION]` by DVC, reads its resolved parameters from
`data/plan`, and calls what does the work.
"""
