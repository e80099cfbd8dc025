"""Variables by which code gets into a program that never asked for it."""

from __future__ import annotations

# What interpreters, loaders, compilers and caches of compiled code look at.
_PREFIXES = (
    "PYTHON", "LD_", "DYLD_", "GLIBC_", "GCONV_", "LLMOS_", "PIP_", "UV_", "HF_", "TRANSFORMERS_",
    "TORCH", "PYTORCH_", "TRITON_", "CUDA_INJECTION", "CUDA_CACHE", "NCCL_NET", "NCCL_TUNER", "NCCL_PROFILER",
    "BASH_FUNC_", "XDG_", "RAY_", "VLLM_", "GIT_",
)  # fmt: skip
_NAMES = frozenset(
    "PATH HOME TMPDIR TMP TEMP SHELL ENV BASH_ENV IFS CC CXX CFLAGS CXXFLAGS LDFLAGS CPATH LIBRARY_PATH "
    "LOCPATH NLSPATH HOSTALIASES MALLOC_CONF CUDA_HOME CUDA_PATH OPENSSL_CONF OPENSSL_MODULES".split()
)


def steers_programs(name: str) -> bool:
    """Whether a variable of this name decides what a program loads, or from where.

    By name and beginning, whatever the case of its letters; a job that is data, not a program, gets none.
    """
    upper = name.upper()
    return upper in _NAMES or upper.startswith(_PREFIXES)
