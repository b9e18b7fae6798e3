"""select: expected error by a calibrator fitted on dev, flags, budgets; a reason on every row.

In: the label table `pseudo`, the utterances that take part (dev texts), corrections by people.
Out: data/labels/<it>/selected.parquet, data/details/<it>/select.json (how reliable the calibration is).
"""

from __future__ import annotations

from ilt import paths
from ilt.asr.languages import say_taken_for
from ilt.corpus.intake import INTAKE_TABLE
from ilt.labels.judging import judge, oracle_of
from ilt.labels.table import LABEL_TABLE
from ilt.params import SelectParams
from ilt.stages._left_out import pass_labels, why_left_out
from ilt.stages._stage import Stage, run_stage


def body(stage: Stage) -> None:
    if why := why_left_out(stage):
        before, after = (paths.labels(stage.iteration, name) for name in ("pseudo", "selected"))
        pass_labels(stage, before, after, why)
        return
    params = stage.section("select", SelectParams)
    frame, report = judge(
        LABEL_TABLE.read(paths.labels(stage.iteration, "pseudo")),
        INTAKE_TABLE.scan(paths.intake(stage.iteration)), params, params.keep, params.max_expected_error,
        stage.values["normaliser"], params.keep_by_language, oracle_of(stage.iteration, params),
    )  # fmt: skip
    frame = say_taken_for(frame, stage.values["languages"])
    LABEL_TABLE.write(
        frame.with_columns(stage=frame["stage"].str.replace(".*", stage.name)),
        paths.labels(stage.iteration, "selected"),
    )
    paths.write_json(paths.metrics(stage.iteration, "select"), report)
    print(f"  selected {report['selected']} of {report['pool']}")


if __name__ == "__main__":
    run_stage("select", body)
