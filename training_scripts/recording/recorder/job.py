"""Creates a training job's callbacks as its hyperparameters and the managed Debugger's configuration request them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts.recording.recorder.recorder import Recorder
from training_scripts.recording.recorder.rule_callback import RuleWatch
from training_scripts.recording.trial import layout
from training_scripts.recording.trial.trial import MemoryTrial
from training_scripts.training import runtime
from training_scripts.training.callbacks import Callback, Callbacks

if TYPE_CHECKING:
    from training_scripts.training.hyperparameters import Hyperparameters

DEBUG_OUTPUT, PROFILER_OUTPUT, RULE_OUTPUT = "debug-output", "profiler-output", "rule-output"
_CONTAINER = Path("/opt/ml")


def callbacks(
    settings: Hyperparameters, environ: Mapping[str, str], *, begin: float, report: Callable[[str], object]
) -> Callbacks:
    """A job's recorder, rules and profiler, which write to the folder that SageMaker syncs to S3.

    Args:
        settings: The run's hyperparameters.
        environ: SageMaker's environment variables.
        begin: When the job's process started, seconds since 1970.
        report: Called with one line of log at a time.

    Raises:
        ScriptError: A setting cannot be met: a rule does not exist, or smdebug is not installed.
    """
    root = runtime.checkpoint_folder(environ)
    configuration = _Configuration(environ, report)
    memory = MemoryTrial()
    # The recorder comes first, because the rules read what it recorded.
    chosen: list[Callback] = [*_recorders(settings, configuration, root, memory, report)]
    if chosen:
        stop_rules = [name.strip() for name in settings.stop_rules.split(",")] if settings.on_finding == "stop" else []
        chosen.append(
            RuleWatch(
                memory,
                root / RULE_OUTPUT,
                parameters=settings.rule_parameters,
                stop_rules=[name for name in stop_rules if name],
                report=report,
            )
        )
    if settings.profiler == "on":
        chosen += _profiler(settings, configuration, root, begin, report)
    return Callbacks(chosen, report=report)


def pass_callbacks(
    settings: Hyperparameters, environ: Mapping[str, str], *, begin: float, report: Callable[[str], object]
) -> Callbacks:
    """The callbacks of a job that only computes features: its profiler. Takes the same arguments as `callbacks`."""
    configuration = _Configuration(environ, report)
    profiled = settings.profiler == "on"
    root = runtime.checkpoint_folder(environ)
    return Callbacks(_profiler(settings, configuration, root, begin, report) if profiled else [], report=report)


def worker_callbacks(
    settings: Hyperparameters, environ: Mapping[str, str], *, report: Callable[[str], object]
) -> Callbacks:
    """The callbacks of a job's other processes: a recorder of their part of each batch, beside the first process's.

    The rules and the profiler are the first process's; smdebug's hook records that one alone.
    """
    if settings.recorder != "builtin":
        return Callbacks()
    configuration = _Configuration(environ, lambda _: None)  # the first process reports what it ignored
    root = runtime.checkpoint_folder(environ)
    return Callbacks(_recorders(settings, configuration, root, None, report), report=report)


def _recorders(
    settings: Hyperparameters,
    configuration: _Configuration,
    root: Path,
    memory: MemoryTrial | None,
    report: Callable[[str], object],
) -> list[Callback]:
    if settings.recorder == "off":
        return []
    folder = configuration.trial_folder or root / DEBUG_OUTPUT
    intervals = configuration.intervals
    train = settings.train_save_interval or settings.save_interval or intervals["train"]
    judged = settings.eval_save_interval or settings.save_interval or intervals["eval"]
    ours = settings.recorder == "builtin"
    recorder = Recorder(
        folder if ours else None,
        memory=memory,
        train_interval=train,
        eval_interval=judged,
        full_tensors=settings.full_tensors and ours,
        report=report,
    )
    if ours:
        return [recorder]
    from training_scripts.recording.recorder.smdebug_hook import SmdebugRecorder  # noqa: PLC0415 - few have it

    # The rules of this job read the trial that our recorder keeps in memory, even if smdebug writes the one on disk.
    smdebugs = SmdebugRecorder(
        folder, train_interval=train, eval_interval=judged, full_tensors=settings.full_tensors, report=report
    )
    return [smdebugs, recorder]


def _profiler(
    settings: Hyperparameters,
    configuration: _Configuration,
    root: Path,
    begin: float,
    report: Callable[[str], object],
) -> list[Callback]:
    if configuration.profiler_disabled:
        return []
    from training_scripts.recording.profiler.profiler import Profiler  # noqa: PLC0415 - not where it is off

    profiler = Profiler(
        configuration.profiler_folder or root / PROFILER_OUTPUT,
        interval_ms=settings.profiler_interval_ms,
        operators=settings.profile_operators,
        operator_steps=settings.profile_steps,
        facts={"job_begin": begin, "batch_size": settings.batch_size, "workers": settings.workers or None},
        report=report,
        system=not configuration.service_samples,
    )
    profiler.start()
    return [profiler]


class _Configuration:
    """The settings in the managed Debugger's configuration files, if the service wrote them.

    Attributes:
        trial_folder: Folder of the trial; None for our default.
        intervals: train and eval -> save interval; 0 for our default.
        profiler_folder: Folder of the profile; None for our default.
        profiler_disabled: Whether profiling is off for the job.
        service_samples: Whether SageMaker samples the machine itself, as it does where it was asked for a profile.
    """

    def __init__(self, environ: Mapping[str, str], report: Callable[[str], object]) -> None:
        self._folder = Path(environ.get("SM_INPUT_CONFIG_DIR", _CONTAINER / "input" / "config"))
        self._report = report
        hook, profiler = self._read("debughookconfig.json"), self._read("profilerconfig.json")
        self.trial_folder = _path(hook.get("LocalPath"))
        parameters = hook.get("HookParameters")
        self.intervals = {
            mode: self._interval(parameters if isinstance(parameters, dict) else {}, mode) for mode in ("train", "eval")
        }
        profiling = profiler.get("ProfilingParameters")
        inner = profiling.get("LocalPath") if isinstance(profiling, dict) else None
        self.profiler_folder = _path(inner or profiler.get("LocalPath"))
        self.profiler_disabled = profiler.get("DisableProfiler") is True
        self.service_samples = self.profiler_folder is not None

    def _read(self, name: str) -> dict[str, object]:
        path = self._folder / name
        if not path.is_file():
            return {}
        try:
            return layout.read_json(path)
        except (OSError, ValueError) as error:
            self._report(f"warning: ignored {path}: {error}")
            return {}

    def _interval(self, parameters: Mapping[str, object], mode: str) -> int:
        for name in (f"{mode}.save_interval", "save_interval"):
            if name in parameters:
                text = str(parameters[name])
                if text.isdecimal() and int(text) > 0:
                    return int(text)
                self._report(f"warning: ignored the hook parameter {name}: {text!r} is not a positive integer")
        return 0


def _path(value: object) -> Path | None:
    return Path(value) if isinstance(value, str) and value else None
