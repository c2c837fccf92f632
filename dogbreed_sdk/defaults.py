"""All default numbers and names of the SDK, each with its reason: timeouts and retries, instance types, polling."""

from __future__ import annotations

from typing import Final

from training_scripts.data import limits

# Its weights are in a package: nothing is downloaded, so the first run works offline. Of the backbones with such
# weights it is the most accurate (benchmarks/accuracy.py, 120 breeds: 83.6%, efficientnet_lite0 78.3%).
BACKBONE: Final = "efficientnet_lite2"
# The fastest of them, in half of the time: a quick start is to take seconds.
QUICK_BACKBONE: Final = "efficientnet_lite0"

# Training and serving use the same framework version, so that both compute the same numbers. 2.6 is the newest version
# with a PyTorch inference image from AWS (TorchServe, on which these images are based, is archived).
FRAMEWORK_VERSION: Final = "2.6"
# In older versions, loading a file of weights can run code that is in it (CVE-2025-32434).
OLDEST_FRAMEWORK_VERSION: Final = "2.6"

# The cheapest general-purpose types whose memory is sufficient for a backbone and its batches. New accounts have a
# quota of zero for GPU types, and training heads on stored features does not need a GPU.
TRAINING_INSTANCE_TYPE: Final = "ml.m5.xlarge"
SERVING_INSTANCE_TYPE: Final = "ml.m5.large"
TRANSFORM_INSTANCE_TYPE: Final = "ml.m5.xlarge"

# Room for the scratch files of a container image and a data set of tens of thousands of pictures.
VOLUME_SIZE_GB: Final = 30

# A month of an endpoint, as AWS's price calculator counts it.
HOURS_PER_MONTH: Final = 730.0

# SageMaker's own default (StoppingCondition): a job that hangs stops costing money after a day.
MAX_RUNTIME_SECONDS: Final = 86_400

# Cross-entropy on the validation split falls smoothly, whereas accuracy jumps in steps of one picture. It also
# selects a run's best epoch.
OBJECTIVE_METRIC: Final = "valid:loss"

# Enough trials for Bayesian search to get past its random start, few enough to complete during a coffee break.
TUNING_MAX_JOBS: Final = 6
TUNING_MAX_PARALLEL_JOBS: Final = 2
TUNING_STRATEGY: Final = "Bayesian"

# Features of the picture and of its mirror image: the cheapest augmentation that improves results on photographs.
VIEWS: Final = "plain,flip"

# A picture may be as large as SageMaker lets a request be.
REALTIME_PAYLOAD_BYTES: Final = limits.MAX_REALTIME_REQUEST_BYTES
SERVERLESS_PAYLOAD_BYTES: Final = limits.MAX_SERVERLESS_REQUEST_BYTES

# Concurrent requests of a serverless endpoint: half of the default quota of an account and region.
SERVERLESS_CONCURRENCY: Final = 5

# A container must respond within 60 s; ten more seconds let its own error arrive before the client's timeout.
INVOKE_READ_TIMEOUT_SECONDS: Final = 70.0
INVOKE_CONNECT_TIMEOUT_SECONDS: Final = 5.0
# Four attempts, with random pauses of up to 0.2, 0.4 and 0.8 s, outlast a throttled burst and a replaced instance.
INVOKE_MAX_ATTEMPTS: Final = 4
INVOKE_FIRST_PAUSE_SECONDS: Final = 0.2
INVOKE_LONGEST_PAUSE_SECONDS: Final = 5.0
# For all attempts together: the slowest response that is allowed, and time for failures before it.
INVOKE_DEADLINE_SECONDS: Final = 90.0
# An attempt shortly before the deadline may take at least this long.
INVOKE_SHORTEST_TIMEOUT_SECONDS: Final = 0.5

# Of a request to an asynchronous endpoint, with its wait in the queue: SageMaker's own limit for the model's part
# (API reference, InvokeEndpointAsync, InvocationTimeoutSeconds). An endpoint can also start its first instance in it.
ASYNCHRONOUS_SECONDS: Final = 900.0

# Maximum number of connections that a client keeps; they are opened when needed.
INVOKE_CONNECTIONS: Final = 64
# Pictures that classify_many sends concurrently: enough to keep two instances of two cores busy, or a laptop.
MANY_CONCURRENCY: Final = 8
# Requests of `detect`: the whole picture, and windows of half of its side, 7 to 15 if the sides' ratio is at most 8.
# Windows of a third, which need 48, find smaller dogs but add wrong answers (benchmarks/accuracy.py).
DETECT_WINDOWS: Final = 16

# A managed rule reports its result after the job: in seconds locally, in minutes on AWS. A report waits less.
RULES_TIMEOUT_SECONDS: Final = 600.0
REPORT_RULES_TIMEOUT_SECONDS: Final = 60.0

# An endpoint first pulls a container image of several GB; half an hour is twice the time that AWS needs.
ENDPOINT_READY_TIMEOUT_SECONDS: Final = 1800.0

# Polling is frequent where it is free, and rare where an API limit is shared with other programs.
LOCAL_POLL_SECONDS: Final = 0.25
AWS_POLL_SECONDS: Final = 10.0

# The managed Debugger's configuration: the rules that need only losses, weights and gradients, and the two profiling
# rules whose results people act on. Saving every hundredth training step keeps recordings small; evaluation has few
# steps. 500 ms is SageMaker's own default for system metrics; ten framework steps show the pattern and take seconds.
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
