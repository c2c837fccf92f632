"""Every default number and name of the client, each with its reason."""

from __future__ import annotations

from typing import Final

from training_scripts.data import limits

# The backbone whose weights come in a package: nothing is downloaded, so the first run works offline.
BACKBONE: Final = "efficientnet_lite0"

# One framework version trains and serves, so that both compute the same numbers. 2.6 is the newest for which
# AWS publishes a PyTorch inference image (TorchServe, on which those images stand, is archived).
FRAMEWORK_VERSION: Final = "2.6"
PYTHON_VERSION: Final = "py312"

# The cheapest general-purpose types that hold a backbone and its batches in memory. GPU types have a quota of
# zero in new accounts, and with stored features the heads need no GPU.
TRAINING_INSTANCE_TYPE: Final = "ml.m5.xlarge"
SERVING_INSTANCE_TYPE: Final = "ml.m5.large"

# Room for a container image's scratch files and a data set of some tens of thousands of pictures.
VOLUME_SIZE_GB: Final = 30

# A job that hangs stops costing money after a day, SageMaker's own default (StoppingCondition).
MAX_RUNTIME_SECONDS: Final = 86_400

# Plain cross-entropy on the validation split falls smoothly where accuracy jumps in steps of one picture, and
# by it a run keeps its best epoch.
OBJECTIVE_METRIC: Final = "valid:loss"

# Enough for Bayesian search to leave its random start, few enough to end over a coffee.
TUNING_MAX_JOBS: Final = 6
TUNING_MAX_PARALLEL_JOBS: Final = 2
TUNING_STRATEGY: Final = "Bayesian"

# Features of the picture and of its mirror image: the cheapest augmentation that helps with photographs.
VIEWS: Final = "plain,flip"

# A picture may be as large as SageMaker lets a request be.
REALTIME_PAYLOAD_BYTES: Final = limits.MAX_REALTIME_REQUEST_BYTES
SERVERLESS_PAYLOAD_BYTES: Final = limits.MAX_SERVERLESS_REQUEST_BYTES

# A container has 60 s to answer; ten more let its own error arrive before the client gives up.
INVOKE_READ_TIMEOUT_SECONDS: Final = 70.0
INVOKE_CONNECT_TIMEOUT_SECONDS: Final = 5.0
# Four attempts, about 0.2, 0.4 and 0.8 s apart at random, outlast a throttled burst and a replaced instance.
INVOKE_MAX_ATTEMPTS: Final = 4
INVOKE_FIRST_PAUSE_SECONDS: Final = 0.2
INVOKE_LONGEST_PAUSE_SECONDS: Final = 5.0
# All attempts together: the slowest answer that is allowed, and time for early failures before it.
INVOKE_DEADLINE_SECONDS: Final = 90.0
# An attempt that is made shortly before the deadline gets at least so long.
INVOKE_SHORTEST_TIMEOUT_SECONDS: Final = 0.5

# Connections that a client keeps at most; they are opened as they are needed.
INVOKE_CONNECTIONS: Final = 64
# Pictures that classify_many asks about at a time: keeps two instances of two cores busy, and any laptop's model.
MANY_CONCURRENCY: Final = 8

# A managed rule answers when the job has ended: locally in seconds, on AWS in a few minutes. A report waits less.
RULES_TIMEOUT_SECONDS: Final = 600.0
REPORT_RULES_TIMEOUT_SECONDS: Final = 60.0

# An endpoint pulls a container image of several GB before it serves; half an hour is twice what AWS takes.
ENDPOINT_READY_TIMEOUT_SECONDS: Final = 1800.0

# Polling: often where it costs nothing, rarely where an API limit is shared with others.
LOCAL_POLL_SECONDS: Final = 0.25
AWS_POLL_SECONDS: Final = 10.0

# What the managed Debugger is asked for: the rules that need nothing but losses, weights and gradients, and the two
# profiling answers that people act on. Every hundredth training step keeps recordings small; evaluation has few steps.
# 500 ms is SageMaker's own default for the machine; ten framework steps show the pattern and cost seconds.
DEBUGGER_RULES: Final = (
    "VanishingGradient",
    "Overfit",
    "Overtraining",
    "PoorWeightInitialization",
    "LossNotDecreasing",
)
DEBUGGER_PROFILER_RULES: Final = ("LowGPUUtilization", "ProfilerReport")
DEBUGGER_TRAIN_SAVE_INTERVAL: Final = 100
DEBUGGER_EVAL_SAVE_INTERVAL: Final = 10
DEBUGGER_SYSTEM_INTERVAL_MS: Final = 500
DEBUGGER_FRAMEWORK_STEPS: Final = 10
