"""Prints as JSON what smdebug's own analysis classes read of a profile; run by an interpreter that has smdebug."""

from __future__ import annotations

import json
import sys

from smdebug.profiler.algorithm_metrics_reader import LocalAlgorithmMetricsReader
from smdebug.profiler.analysis.utils.pandas_data_analysis import PandasFrameAnalysis, StatsBy
from smdebug.profiler.analysis.utils.profiler_data_to_pandas import PandasFrame
from smdebug.profiler.analysis.utils.pytorch_dataloader_analysis import PT_dataloader_analysis
from smdebug.profiler.system_metrics_reader import LocalSystemMetricsReader

EVER = 1 << 60


def main(folder: str) -> None:
    """Events as the readers give them, and what the analysis makes of them; in the last line printed."""
    frame = PandasFrame(folder)
    metrics = frame.get_all_system_metrics(), frame.get_all_framework_metrics()
    analysis = PandasFrameAnalysis(*metrics)
    usage = analysis.get_utilization_stats()
    content = {
        "system": [
            [event.type, event.name, event.dimension, event.value, event.node_id, event.timestamp]
            for event in LocalSystemMetricsReader(folder).get_events(0, EVER)
        ],
        "framework": [
            [event.event_phase, event.start_time, event.duration, event.event_args["step_num"], event.node_id]
            for event in LocalAlgorithmMetricsReader(folder).get_events(0, EVER)
        ],
        "rows": [len(one) for one in metrics],
        "steps": analysis.get_step_statistics(StatsBy.TRAINING_PHASE).to_dict("records"),
        "resources": sorted(usage["Resource"]),
        "cpu_median": float(usage[usage["Resource"] == "cpu"]["utilization_p50"].iloc[0]),
        "training": analysis.get_job_statistics()["training_loop_start"],
        "fetches": len(PT_dataloader_analysis(frame).dataIter_metric),
    }
    print()
    print(json.dumps(content))


if __name__ == "__main__":
    main(sys.argv[1])
