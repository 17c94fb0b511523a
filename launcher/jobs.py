"""`roteiro jobs`, `drain` and `stop`: what runs on Dataflow, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launcher.bootstrap import cloud
from launcher.consoles import error_console, output_console, print_json
from launcher.dataflow import LABEL, load_dataflow, require
from launcher.exits import BAD_INPUT, DONE, BadInput

if TYPE_CHECKING:
    from launcher.settings import Flags
    from services.ports import Jobs, RunningJob


def show(flags: Flags, *, every: bool, json: bool) -> int:
    """Print the jobs; returns the exit code."""
    jobs = _ours(_jobs(flags), ended=every)
    if json:
        print_json(
            {
                "jobs": [
                    {
                        "job_id": job.job_id,
                        "name": job.name,
                        "state": job.state,
                        "created": job.created,
                        "region": job.region,
                        "labels": dict(job.labels),
                    }
                    for job in jobs
                ]
            }
        )
        return DONE
    if not jobs:
        error_console().print("No job of roteiro's here.")
        return DONE
    from rich.table import Table

    table = Table("name", "state", "created", "region", "version", "job", box=None)
    for job in jobs:
        version = job.labels[LABEL].replace("-", ".")
        table.add_row(job.name, job.state, job.created[:19], job.region, version, job.job_id)
    output_console().print(table)
    return DONE


def drain(name: str, flags: Flags) -> int:
    """Have a job finish what it has begun; returns the exit code."""
    jobs = _jobs(flags)
    job = _found(jobs, name)
    if job.state != "draining":
        jobs.drain(job.job_id)
    output_console().print(
        f"{job.name} ({job.job_id}) drains: it takes nothing new, and ends when what it has begun "
        "is finished. What is published meanwhile stays in the subscription.",
        soft_wrap=True,
    )
    return DONE


def stop(name: str, flags: Flags, *, confirmed: bool) -> int:
    """Cancel a job, if that is meant; returns the exit code."""
    jobs = _jobs(flags)
    job = _found(jobs, name)
    if not confirmed:
        error_console().print(
            f"{job.name} ({job.job_id}) is {job.state}. Stopping it loses the narrations under "
            f"way; `roteiro drain {name}` does not. Nothing was done: --yes does it.",
            soft_wrap=True,
        )
        return BAD_INPUT
    jobs.cancel(job.job_id)
    output_console().print(
        f"{job.name} ({job.job_id}) is cancelled. Batches that it had begun stay `running` in the "
        "status store: `roteiro run` with the same request, output and status makes what is "
        "missing.",
        soft_wrap=True,
    )
    return DONE


def _jobs(flags: Flags) -> Jobs:
    settings = load_dataflow(flags)
    require(settings, "project", "region")
    return cloud.jobs(settings.project, settings.region, settings.dataflow_endpoint)


def _ours(jobs: Jobs, *, ended: bool) -> list[RunningJob]:
    return [job for job in jobs.list(ended=ended) if LABEL in job.labels]


def _found(jobs: Jobs, name: str) -> RunningJob:
    """The active job of roteiro's with this id or name.

    Raises:
        BadInput: where there is none.
    """
    for job in _ours(jobs, ended=False):
        if name in {job.job_id, job.name}:
            return job
    raise BadInput(f"no job of roteiro's is called {name} and runs: `roteiro jobs` lists them")
