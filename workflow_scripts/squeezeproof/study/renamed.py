"""Keys of an older version that a config may still use, for this version only."""

from typing import Any

STOPS = {"whitebox": True, "transfer": False}


def with_new_keys(config: Any) -> tuple[Any, list[str]]:
    """(the config with `stop_on_success` for the attacks' old key `mode`, a notice for every one that was replaced).

    What does not fit the old version either is left for the check of the config to refuse.
    """
    attacks = config.get("attacks") if isinstance(config, dict) else None
    if not isinstance(attacks, dict):
        return config, []
    replaced, notices = {}, []
    for name, entry in attacks.items():
        old = entry.get("mode") if isinstance(entry, dict) else None
        if isinstance(old, str) and old in STOPS and "stop_on_success" not in entry:
            stops = STOPS[old]
            replaced[name] = {key: value for key, value in entry.items() if key != "mode"} | {"stop_on_success": stops}
            notices.append(
                f"attacks.{name}.mode: {old} is now stop_on_success: {str(stops).lower()}; please write that, the next "
                f"version refuses mode"
            )
    return ({**config, "attacks": {**attacks, **replaced}} if replaced else config), notices
