"""What to do about what profiling rules find."""

from __future__ import annotations

ADVICE = {
    "LowGPUUtilization": (
        "While GPU memory has room and does not grow from step to step, raise batch-size; where it is full or grows, "
        "choose a smaller instance instead. If the GPU keeps stopping, it waits for data: raise workers, choose an "
        "instance with more cores for each GPU, or store features first (extract_features), where the backbone is "
        "frozen."
    ),
    "CPUBottleneck": (
        "The GPU waits for the cores. Raise workers up to the number of cores, choose an instance with more cores "
        "for each GPU, or take work away from them: smaller pictures, or features that are stored first."
    ),
    "IOBottleneck": (
        "Data come too slowly from the disk. Choose an instance with a local SSD, more memory (so that the data "
        "stay in the page cache), input mode FastFile or File, or shards instead of many small files."
    ),
    "BatchSize": "Raise batch-size (and lr in proportion), or choose a smaller instance type: it costs less.",
    "GPUMemoryIncrease": (
        "Something is kept from step to step, usually a loss or an output with its graph: use .item() or "
        ".detach() where numbers are collected. No batch-size repairs that: lower it only if the job runs out of "
        "memory before the cause is found."
    ),
    "LoadBalancing": (
        "Give all GPUs the same amount of work: equal shards, one process for each GPU (DistributedDataParallel "
        "rather than DataParallel), and drop_last."
    ),
    "StepOutlier": (
        "Look at what happened at these steps: reading data (raise workers), saving checkpoints or evaluating too "
        "often, a neighbour on the same machine, or garbage collection."
    ),
    "MaxInitializationTime": (
        "Shorten what happens before training: input mode FastFile or Pipe instead of copying all data, features "
        "that were stored by an earlier job, a smaller image, or a warm pool."
    ),
    "Dataloader": (
        "Raise workers up to the number of cores; if they are all busy, choose an instance with more cores, store "
        "features first (extract_features) where the backbone is frozen, or store smaller pictures."
    ),
    "OverallSystemUsage": "",
    "OverallFrameworkMetrics": "",
}
"""Rule -> advice."""
