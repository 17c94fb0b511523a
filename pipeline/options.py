"""Options: how the graph is run."""

from apache_beam.options.pipeline_options import PipelineOptions

LOCAL_BOUNDED = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
"""Named in full: plain DirectRunner would first try to download another runner."""


def local_bounded(*flags: str) -> PipelineOptions:
    """Options of a bounded run in this process.

    Args:
        flags: further Beam options, as on the command line.
    """
    return PipelineOptions([f"--runner={LOCAL_BOUNDED}", *flags])


def streaming(runner: str, *flags: str) -> PipelineOptions:
    """Options of a run that never ends by itself.

    Args:
        runner: its name, as Beam knows it.
        flags: further Beam options, as on the command line.
    """
    return PipelineOptions([f"--runner={runner}", "--streaming", *flags])
