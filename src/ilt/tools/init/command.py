"""The command `ilt init`: a git and DVC repository with all that a project needs, and no code."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilt.asr.languages import check_languages
from ilt.errors import IltError
from ilt.escapes import visible
from ilt.params import CorpusParams, SourceParams, check_params, default_learning_rate, parse_yaml, validated
from ilt.tools.doctor.plan import MachinePlan, plan_for_machine
from ilt.tools.init.files import commit, in_the_way, prepare, render, write_files
from ilt.tools.init.schedule import Schedule, schedule
from ilt.tools.init.survey import CorpusSurvey, ModelSurvey, survey_corpus, survey_model

__all__ = ["InitOptions", "run_init"]


@dataclass(frozen=True)
class InitOptions:
    """What `ilt init` is told.

    sources: each as FORMAT:PATH or as YAML, `{format: kaldi, path: /data/x, split: pool, language: en}`.
    aliases: each as CODE=CODE: a language that the model does not know, and what it is told instead.
    """

    model: str | None
    revision: str | None
    manifest: Path | None
    sources: list[str]
    pool_reference: Path | None
    demo: bool
    iterations: int | None
    aliases: list[str]


def _absolute(path: Path) -> str:
    return str(path.expanduser().resolve())


def _source(text: str) -> dict[str, Any]:
    """Return one `--source` as `corpus.sources` has it. Raises IltError."""
    value = parse_yaml(text, "--source") if text.lstrip().startswith("{") else None
    if value is None:
        form, colon, path = text.partition(":")
        if not colon:
            raise IltError(f"--source {text!r}: expected FORMAT:PATH, as kaldi:/data/x, or {{format: ..., path: ...}}")
        value = {"format": form.strip(), "path": path.strip()}
    given = validated(SourceParams, value, file=f"--source {text!r}")
    local = Path(given.path).expanduser()
    if local.exists():
        value["path"] = _absolute(local)
    return dict(value)


def _aliases(options: InitOptions) -> dict[str, str]:
    aliases = {}
    for text in options.aliases:
        code, equals, other = text.partition("=")
        if not (code and equals and other):
            raise IltError(f"--language-as {text!r}: expected CODE=CODE, as pcm=en")
        aliases[code] = other
    return aliases


def _corpus(options: InitOptions) -> dict[str, Any]:
    """Return the section `corpus`. Raises IltError where it is not clear what the corpus is."""
    if bool(options.manifest) == bool(options.sources):
        raise IltError(
            "say what to train on: --manifest FILE (a NeMo-style JSONL), or --source FORMAT:PATH (may be repeated), "
            "or --demo for the synthetic demo"
        )
    reference = _absolute(options.pool_reference) if options.pool_reference else None
    if options.manifest:
        return {"source": "manifest", "manifest": _absolute(options.manifest), "pool_reference": reference}
    return {"source": "sources", "sources": list(map(_source, options.sources)), "pool_reference": reference}


def _check_languages(corpus: CorpusSurvey, model: ModelSurvey, aliases: dict[str, str]) -> None:
    if unused := sorted(set(aliases) - set(corpus.languages)):
        raise IltError(
            f"--language-as {unused[0]}=...: the corpus has no such language; it has {', '.join(corpus.languages)}"
        )
    if unknown := corpus.unknown(model.languages, aliases):
        known = model.languages or frozenset()
        check_languages(unknown, known, aliases, model.id, how="--language-as {}={}")


def _has_gpu() -> bool:
    from ilt.asr.device import pick_device

    return pick_device().type == "cuda"


def _params(
    model: ModelSurvey, corpus: dict[str, Any], plan: Schedule, aliases: dict[str, str], machine: MachinePlan
) -> str:
    return render(
        "params.yaml.jinja",
        model=model,
        corpus={"manifest": None, **corpus},
        sources=corpus.get("sources", []),
        languages={code: {"as": other} for code, other in aliases.items()},
        rate=f"{default_learning_rate(model.info.width)[0]:g}",
        machine=machine,
        schedule=plan,
        iterations=[f"it{number + 1}" for number in range(plan.iterations)],
    )


def _choices(model: ModelSurvey, corpus: CorpusSurvey, plan: Schedule, machine: MachinePlan) -> list[str]:
    """Return what was chosen and why, a line each."""
    rate, source = default_learning_rate(model.info.width)
    splits = ", ".join(
        f"{split} {count}" + (f" ({corpus.minutes[split]:.0f} min)" if split in corpus.minutes else "")
        for split, count in sorted(corpus.utterances.items())
    )
    lines = [
        f"model: {model.id}" + (f" at {model.revision}" if model.revision else "") + f", a {model.info.family}",
        f"corpus: {splits}; languages {', '.join(sorted(corpus.languages))}"
        + ("; minutes estimated from a sample" if corpus.estimated else ""),
        f"learning rate: {rate:g} ({source})",
        f"steps: focus {plan.focus}, feedback {plan.feedback}, fix {plan.fix} ({plan.reason})",
        f"iterations: {plan.iterations}"
        + ("" if plan.iterations > 1 else " (more, one by one: -S '+iterations.it2={prev: it1}')"),
        f"machine: {machine.reason}",
    ]
    if "retention" not in corpus.utterances:
        lines.append(
            "retention: none given; labelled speech of another domain in the split `retention` shows what is forgotten"
        )
    missing = [split for split in ("gold", "pool", "dev", "test") if not corpus.utterances[split]]
    if missing:
        lines.append(
            f"missing: no utterances of the split {', '.join(missing)}; `dvc repro` needs gold, pool, dev and test"
        )
    return lines


def _warnings(folder: Path) -> list[str]:
    if str(folder).isascii():
        return []
    return [
        f"{folder} has letters that are not ASCII: `dvc repro` works there, `dvc exp run --temp` fails inside DVC; "
        "choose another folder if you want to try variants in copies"
    ]


def run_init(folder: Path, options: InitOptions) -> None:
    """Make a project, and print what was chosen and what to type next. Raises IltError; then nothing is written."""
    from ilt.stages._dvc import render as render_dvc

    target = prepare(folder)
    if options.demo:
        from ilt.tools.init.demo import demo_files

        if options.manifest or options.sources or options.model:
            raise IltError("--demo brings its own model and corpus; leave out --model, --manifest and --source")
        files, choices = demo_files()
    else:
        if not options.model:
            raise IltError("say which model to adapt: --model openai/whisper-base (hub id) or --model FOLDER")
        model, section, aliases = survey_model(options.model, options.revision), _corpus(options), _aliases(options)
        corpus = survey_corpus(validated(CorpusParams, section, "corpus"))
        _check_languages(corpus, model, aliases)
        machine = plan_for_machine(model.id, model.revision, min(corpus.longest or model.seconds, model.seconds))
        plan = schedule(corpus, machine, _has_gpu(), options.iterations)
        text = _params(model, section, plan, aliases, machine)
        check_params(parse_yaml(text, "params.yaml"))
        readme = render("README.md.jinja", name=target.folder.name, model=model)
        files = {"params.yaml": text.encode(), "README.md": readme.encode()}
        choices = _choices(model, corpus, plan, machine)
    files["dvc.yaml"] = render_dvc().encode()
    kept = ["README.md"] if (target.folder / "README.md").exists() else []
    files = {name: content for name, content in files.items() if name not in kept}
    if blocked := in_the_way(target, files):
        raise IltError(
            f"{', '.join(str(target.folder / name) for name in blocked)}: in the way, and nothing is overwritten; "
            "choose another folder, or move what is there (an older project: `ilt upgrade`)"
        )
    written = write_files(target, files)
    problem = commit(target, written, "An ILT project")
    for line in choices + [f"kept as it was: {name}" for name in kept] + _warnings(target.folder):
        print(visible(f"  {line}"))
    print(f"{visible(str(folder))} is a project" + (f"; not committed: {problem}" if problem else ", committed to git"))
    here = "" if target.folder == Path.cwd() else f"cd {os.path.relpath(target.folder)} && "
    print(f"next: {visible(here)}dvc repro    (before that, to be sure: ilt doctor, ilt validate)")
