"""Pretraining on megatron-core: `python -m megatron_train --help` lists what can be started.

It meets the other packages through storage: token shards in, checkpoints and Hugging Face folders
out.
"""

import warnings

# At import, megatron-core tells of GPU packages that are missing and torch of its own renamings.
# fp8/support.py refuses what matters.
warnings.filterwarnings("ignore", module=r"(megatron|torch\.distributed|torch\.autograd)\b")
