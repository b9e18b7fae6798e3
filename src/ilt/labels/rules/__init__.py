"""Registry of the rules of selection. Each is a module whose `RULE` ranks the rows of a language."""

from ilt.registry import Registry

__all__ = ["RULES"]

RULES = Registry(
    "rule of selection (select.method)",
    {
        "calibrated": "ilt.labels.rules.calibrated:RULE",
        "logprob": "ilt.labels.rules.logprob:RULE",
        "all": "ilt.labels.rules.everything:RULE",
        "oracle": "ilt.labels.rules.oracle:RULE",
    },
)
