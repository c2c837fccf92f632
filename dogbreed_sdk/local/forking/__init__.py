"""Starts our own scripts in copies of a process that has imported PyTorch, which is most of the cost of a short job.

`lease` starts such a process, the fork server, for the scripts' Python and environment, and hands it on to the
supervisors of jobs. `client` asks it for a process. `server` and `script` are its program, which runs alone. Where
there is no fork server, or it cannot serve a job, the job's script starts as any other does.
"""

from __future__ import annotations

# Holds the descriptor by which a supervisor asks a fork server, or "off" where there must be none.
FORK_SERVER_VARIABLE = "DOGBREED_LOCAL_FORK_SERVER"
