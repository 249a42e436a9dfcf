"""The special tokens of the run's tokenizer, by the settings tokens.special."""

from __future__ import annotations

from conf.schema.curate import TokenSettings
from seedbed.kernels.tokens.packing import SpecialNames
from seedbed.special_names import Wording, special_names

# Of the run's tokenizer, in the output.
FOLDER = "tokens/tokenizer"


def names_of(
    tokenizer_json: str, tokenizer_config: str | None, setting: TokenSettings
) -> SpecialNames:
    """What the tokenizer calls the tokens that packing writes.

    Raises SeedbedError for a name that it lacks, and for a token without a name.
    """
    wording = Wording(
        where=f"tokens.tokenizer={setting.tokenizer}" if setting.tokenizer else FOLDER,
        option="tokens.special.{role}=TOKEN",
        no_fim="tokens.fim_rate=0",
    )
    told = vars(setting.special)
    return special_names(tokenizer_json, tokenizer_config, told, setting.fim_rate, wording)
