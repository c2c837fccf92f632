"""The profiling rules: AWS's names and parameters, its definitions (aws) and ours (default).

Where AWS's documentation, its package smdebug_rulesconfig and its service differ, `aws` is what the service ran with
in a recorded profiler report: patience 1000 and window 500 samples, increase 5 over 10, distance 0.2, 10 outliers.

Ours look at training alone, where AWS's also count initialization, which no batch size can speed up. For them, runs of
half a minute (60 samples at 500 ms) are long enough. And they ask what a fault costs before they report it: step
outliers and waiting for data must take a tenth and a third of the time, and more than ten seconds; a first step must
not only come late, but take half of the job.
"""
