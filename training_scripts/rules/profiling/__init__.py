"""The profiling rules, with AWS's names and parameters. There are AWS's definitions (aws) and ours (default).

AWS's documentation, its package smdebug_rulesconfig and its service differ. In these cases `aws` has the values that
the service used in a recorded profiler report: patience 1000 and window 500 samples, increase 5 over 10 samples,
distance 0.2, 10 outliers.

Our rules evaluate only the time of training. AWS's include initialization, which no batch size can speed up. Our rules
need only half a minute of training (60 samples at 500 ms). They report a fault only if it costs enough: slow steps must
take a tenth of the time, waiting for data a third, and both more than ten seconds. A late first step must also take
half of the job.
"""
