"""A run with nothing to do: the whole process, against DVC, against doit itself, and as the pipeline grows."""

from __future__ import annotations

from pathlib import Path

from contenders import daintree, dvc, stock_doit, user_environments, variables, workspace
from projects import PIPELINE, chain, copy_of_this_project, doit_project, dvc_chain, dvc_item2vec
from timing import Process, parser, race, ratio, row

DVC_IDLE = "Data and pipelines are up to date."
LENGTHS = (1, 10, 50, 200)


def main() -> None:
    """Measure, and print one row per target."""
    parsing = parser(__doc__)
    parsing.add_argument(
        "--components", type=int, default=1, help="how many the chains are made of"
    )
    arguments = parsing.parse_args()
    rounds = 5 if arguments.quick else 15
    with workspace() as directory:
        against_others(directory, rounds)
        chains(directory, LENGTHS[:3] if arguments.quick else LENGTHS, arguments.components, rounds)


def against_others(directory: Path, rounds: int) -> None:
    """item2vec against its DVC twin, and against doit with one task that is up to date."""
    environment = variables(directory / "cache", environments=user_environments())
    project = copy_of_this_project(directory / "item2vec")
    dvc_project = dvc_item2vec(directory / "item2vec-dvc", environment)
    one_task = doit_project(directory / "one-task")
    run = (daintree(), "run", "item2vec")
    contenders = {
        "doit run item2vec": Process(run, project, environment, "item2vec: 5 hits, 0 runs"),
        "dvc repro, 5 stages": Process((dvc(), "repro"), dvc_project, environment, DVC_IDLE),
        "doit, 1 task": Process((stock_doit(),), one_task, environment, "-- copy"),
    }
    first_runs(contenders)
    ours, dvcs, doits = race({n: c.seconds for n, c in contenders.items()}, rounds).values()
    what = "no-op `doit run item2vec`, 5 stages"
    row(what, "`dvc repro`", "≤ 0.22", ratio(ours, dvcs), f"{ours} against {dvcs}")
    row(what, "`doit`, one task", "≤ 1.45", ratio(ours, doits), f"{ours} against {doits}")


def chains(directory: Path, lengths: tuple[int, ...], components: int, rounds: int) -> None:
    """Chains of trivial stages: how the time grows, and at 50 stages against DVC."""
    environment = variables(directory / "cache")
    run = (daintree(), "run", PIPELINE)
    contenders = {
        str(length): Process(
            run,
            chain(directory / f"chain-{length}", length, components=min(components, length)),
            environment,
            f"{PIPELINE}: {length} hit",
        )
        for length in lengths
    }
    dvc_project = dvc_chain(directory / "chain-dvc", 50, environment)
    contenders["dvc repro, 50 stages"] = Process(
        (dvc(), "repro"), dvc_project, environment, DVC_IDLE
    )
    first_runs(contenders)
    times = race({n: c.seconds for n, c in contenders.items()}, rounds)
    fifty, dvcs = times["50"], times["dvc repro, 50 stages"]
    made_of = "" if components == 1 else f" of {components} components"
    row(
        f"no-op, 50 stages in a chain{made_of}",
        "`dvc repro`",
        "≤ 0.13",
        ratio(fifty, dvcs),
        f"{fifty} against {dvcs}",
    )
    shortest, longest = lengths[0], lengths[-1]
    slope = (times[str(longest)].median - times[str(shortest)].median) / (longest - shortest)
    detail = ", ".join(f"{length}: {times[str(length)].median:.3f} s" for length in lengths)
    what = f"no-op at {', '.join(map(str, lengths))} stages{made_of}"
    row(what, "itself", "< 2 ms a stage", f"{slope * 1000:.2f} ms a stage", detail)


def first_runs(contenders: dict[str, Process]) -> None:
    """Run each once, so that there is nothing left to do."""
    for contender in contenders.values():
        Process(contender.arguments, contender.directory, contender.environment).seconds()


if __name__ == "__main__":
    main()
