"""Pretraining on megatron-core.

Meets the other packages through storage: token shards in, checkpoints and HF folders out.
"""

import warnings

# Import-time notices of GPU packages that are not there and of torch's own renamings; fp8.py
# refuses what matters.
warnings.filterwarnings("ignore", module=r"(megatron|torch\.distributed|torch\.autograd)\b")
