"""Registry of corpus formats. Each is a module that makes sources of rows."""

from ilt.registry import Registry

__all__ = ["FORMATS"]

FORMATS = Registry(
    "corpus format",
    {
        "demo": "ilt.demo.corpus:demo_corpus",
        "nemo": "ilt.corpus.formats.manifest:open_source",
        "kaldi": "ilt.corpus.formats.kaldi:open_source",
        "common-voice": "ilt.corpus.formats.delimited:open_common_voice",
        "mlc-slm": "ilt.corpus.formats.mlcslm:open_source",
        "huggingface": "ilt.corpus.formats.huggingface:open_source",
        "table": "ilt.corpus.formats.delimited:open_table",
    },
)
"""`demo` makes its utterances; every other opens `SourceParams` and the name of the parameter as a list of sources."""
