"""The states of resources in the store: everything that happened to each since its create request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from dogbreed_sdk._util.clock import StartedClock
from dogbreed_sdk._util.process_identity import Process

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        AsyncInferenceConfigOutputTypeDef,
        ContainerDefinitionTypeDef,
        DataCaptureConfigOutputTypeDef,
        ProductionVariantTypeDef,
    )
    from typing_extensions import NotRequired

# The statuses of a job that has not ended.
RUNNING_STATUSES = ("InProgress", "Stopping")


class Transition(TypedDict):
    """One entry of a training job's SecondaryStatusTransitions; times in epoch seconds, `end` None for the last one."""

    status: str
    start: float
    end: float | None
    message: str


class Metric(TypedDict):
    """The last value of a metric, and when it was printed in epoch seconds."""

    value: float
    time: float


class Inherited(TypedDict):
    """A training job of a parent tuning job (warm start), as it was when the new search was created.

    Attributes:
        name: The training job.
        tuning_job: The parent that started it.
        definition: The name of its training job definition.
        hyperparameters: Its values of the hyperparameters that the new search tunes, in wire form.
        value: Its objective value.
    """

    name: str
    tuning_job: str
    definition: str | None
    hyperparameters: dict[str, str]
    value: float


class RuleStatus(TypedDict):
    """One managed rule of a training job: kind is debugging or profiling, status one of AWS's, time epoch seconds."""

    name: str
    kind: str
    arn: str
    status: str
    details: str
    time: float


class RuleOutcome(TypedDict):
    """The evaluator's result for one rule."""

    status: str
    details: str


class Server(Process):
    """An endpoint's model server: its process, and its port on 127.0.0.1."""

    port: int


# What a model's data is: an archive, or a folder or a file that is not packed.
ModelForm = Literal["archive", "folder", "file"]


class DeploymentState(TypedDict):
    """The unpacked model that a production variant serves; see `hosting.model.Deployment`."""

    variant: str
    model: str | None
    environment: dict[str, str]
    digest: str
    startup_seconds: float | None
    form: ModelForm


class ServedVariant(TypedDict):
    """A production variant with its model.

    Attributes:
        variant: The production variant as requested; its weight and its number of instances are the current ones.
        model: The model's name.
        container: The model's container as requested.
    """

    variant: ProductionVariantTypeDef
    model: str
    container: ContainerDefinitionTypeDef


class Serving(TypedDict):
    """The models that an endpoint must serve, resolved at the time of the request: their parts may change later.

    Attributes:
        config: The endpoint configuration's name.
        variants: The production variants.
        async_config: The configuration of an asynchronous endpoint; absent for a real-time endpoint.
        capture: The configuration of data capture, if the endpoint has one.
    """

    config: str
    variants: list[ServedVariant]
    async_config: NotRequired[AsyncInferenceConfigOutputTypeDef]
    capture: NotRequired[DataCaptureConfigOutputTypeDef]


class Outcome(TypedDict):
    """How an asynchronous invocation ended; its content is in a file until it is delivered.

    Attributes:
        succeeded: Whether the model responded.
        content_type: The content's type.
        custom_attributes: The attributes that the model's response had.
        message: The line for the endpoint's log.
    """

    succeeded: bool
    content_type: str
    custom_attributes: str | None
    message: str


class State(TypedDict, total=False):
    """The state of a record. Each kind of resource has some of the members.

    Attributes:
        status: The resource's status, one of AWS's; models and endpoint configurations have none.
        failure: The FailureReason.
        process: The supervisor, once it has started.
        restarts: How often a supervisor that was killed was replaced.
        starts: How often a job was started that never had a supervisor.
        stop: Whether the job must stop.
        ended: When the job ended, in epoch seconds by its own clock.

        secondary: A training job's SecondaryStatus.
        transitions: Its secondary statuses so far.
        clock: Its clock, which corrections of the machine's clock do not affect.
        begun: Whether a supervisor has taken it over.
        started: When its scripts or the transform were started, in epoch seconds by its own clock.
        scripts: The processes of its scripts, one for each host.
        orphaned: When its scripts were found without a supervisor.
        wanted_threads: The number of threads that it requests; default: all cores.
        threads: The number of threads that it was granted.
        log_stream: The name of its first host's log stream.
        metrics: Its metrics' last values, by name.
        artifacts: The URI of its model artifact.
        rules: Its managed rules.
        updates: The members of its request that UpdateTrainingJob has replaced.
        tuning_job: The tuning job that started it.
        definition: The name of that job's training job definition.
        tuned: The hyperparameters that the tuning job chose, in wire form.
        interrupt: Whether the spot instance of a managed spot training job must be interrupted.
        interruptions: How often it was.
        trained: For how many seconds its scripts have run, without the time between an interruption and the next start.
        stopped_early: Whether the tuning job stopped it early.

        trials: The names of the training jobs that a tuning job has started.
        best: The name of the best one.
        inherited: What a warm start knows of its parents' training jobs.
        converged: When the search was found to have converged, in epoch seconds.

        container: The container of the model that a transform job runs, resolved at the time of the request.

        serving: The models that an endpoint must serve.
        previous: The same, before the update in progress.
        update_started: When that update was requested, in epoch seconds.
        deployments: The unpacked models that it serves, by production variant.
        servers: Their model servers, by production variant, if they have been started.
        server: The model server of a transform job, if it has been started.

        endpoint: The endpoint to which an asynchronous invocation was sent.
        variant: The production variant that got it.
        outcome: How that invocation ended, until it is delivered.
    """

    status: str
    failure: str | None
    process: Process | None
    restarts: int
    starts: int
    stop: bool
    ended: float | None

    secondary: str
    transitions: list[Transition]
    clock: StartedClock
    begun: bool
    started: float | None
    scripts: list[Process]
    orphaned: StartedClock
    wanted_threads: int
    threads: int
    log_stream: str
    metrics: dict[str, Metric]
    artifacts: str | None
    rules: list[RuleStatus]
    updates: dict[str, Any]
    tuning_job: str | None
    definition: str | None
    tuned: dict[str, str]
    interrupt: bool
    interruptions: int
    trained: float
    stopped_early: bool

    trials: list[str]
    best: str | None
    inherited: list[Inherited]
    converged: float | None

    container: ContainerDefinitionTypeDef

    serving: Serving
    previous: Serving
    update_started: float
    deployments: dict[str, DeploymentState]
    servers: dict[str, Server]
    server: Server | None

    endpoint: str
    variant: str
    outcome: Outcome
