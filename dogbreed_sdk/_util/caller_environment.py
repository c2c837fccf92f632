"""The variables that scripts and models inherit from the process that started local SageMaker.

On AWS they inherit none. Here they inherit the variables that a program needs to run on this machine. Any other
variable may be a secret, whatever its name, so it must be set in the job's or the model's Environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAMES = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "LANG", "LANGUAGE", "TMPDIR", "TEMP", "TMP",
        "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME",
        "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NO_PROXY",
        "MPLBACKEND", "CUBLAS_WORKSPACE_CONFIG",
        # The region, which AWS sets too, and settings of the model's code.
        "AWS_REGION", "AWS_DEFAULT_REGION",
        "DOGBREED_BACKEND", "DOGBREED_FETCH_URLS", "DOGBREED_FETCH_NETWORKS", "DOGBREED_FETCH_HOSTS",
    }
)  # fmt: skip
# Locale, Python, the package index that pip uses, and the threads and devices of numerical libraries.
_PREFIXES = (
    "LC_", "PYTHON", "PIP_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "NUMEXPR_", "VECLIB_", "ONEDNN_",
    "DNNL_", "MALLOC_", "CUDA_", "NVIDIA_", "NCCL_", "HIP_", "HSA_", "ROCR_", "MIOPEN_", "TORCH_", "PYTORCH_",
    "KINETO_",
)  # fmt: skip
_SECRET = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|API_?KEY", re.IGNORECASE)
# The keys of programs that call local SageMaker; no secret, as signatures are not verified there.
LOCAL_ACCESS_KEY = "local"
# Where such a program finds local SageMaker, local S3 and the others; see `local.client_environment`.
_OF_LOCAL_AWS = ("AWS_", "BOTOCORE_")
PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"})


def inherited(caller: Mapping[str, str]) -> dict[str, str]:
    """The variables that are passed on: known ones, but no secrets and no address that contains a password.

    If the caller's keys are those for local SageMaker, everything about AWS is passed on: none of it leads to AWS.

    >>> inherited({"PATH": "/bin", "DATABASE_URL": "postgres://me:secret@host/db", "https_proxy": "http://proxy:3128"})
    {'PATH': '/bin', 'https_proxy': 'http://proxy:3128'}
    >>> inherited({"PIP_INDEX_URL": "https://index/simple", "PIP_EXTRA_INDEX_URL": "https://me:secret@host/simple"})
    {'PIP_INDEX_URL': 'https://index/simple'}
    >>> inherited({"AWS_ACCESS_KEY_ID": "local", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:8765"})
    {'AWS_ACCESS_KEY_ID': 'local', 'AWS_ENDPOINT_URL_S3': 'http://127.0.0.1:8765'}
    >>> inherited({"AWS_ACCESS_KEY_ID": "AKIA1234567890123456", "AWS_ENDPOINT_URL_S3": "https://s3.example"})
    {}
    """
    is_local = caller.get("AWS_ACCESS_KEY_ID") == LOCAL_ACCESS_KEY
    return {
        name: value
        for name, value in caller.items()
        if _is_needed(name, value) or (is_local and name.startswith(_OF_LOCAL_AWS))
    }


def _is_needed(name: str, value: str) -> bool:
    if "@" in value and (name.upper() in PROXIES or name.startswith("PIP_")):
        return False
    known = name in _NAMES or name.upper() in {*PROXIES, "NO_PROXY"} or name.startswith(_PREFIXES)
    return known and not _SECRET.search(name)
