"""Update services with configurations of their own, drawn for the random scenarios."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

one = st.sampled_from
_RATE = {
    "baseRatePerMinute": 2,
    "incrementFactor": 1.5,
    "rateIncreaseCriteria": {"numberOfNotifiedThings": 9},
}
_ABORT = {"failureType": "ALL", "action": "CANCEL", "minNumberOfExecutedThings": 3, "thresholdPercentage": 20}
_GROUP = {
    "successCondition": {"condition": "THRESHOLD", "expression": "40"},
    "successAction": {"action": "NEXTGROUP", "expression": ""},
    "errorCondition": {"condition": "THRESHOLD", "expression": "20"},
    "errorAction": {"action": "PAUSE", "expression": ""},
}
_NEBRASKA = {
    "policy_updates_enabled": True,
    "policy_safe_mode": True,
    "policy_office_hours": False,
    "policy_timezone": "Europe/Berlin",
    "policy_period_interval": "15 minutes",
    "policy_max_updates_per_period": 4,
    "policy_update_timeout": "60 minutes",
}
CONFIGS: dict[str, list[dict[str, Any]]] = {
    "hawkbit": [
        {"name": "r", "groups": [_GROUP | {"targetPercentage": 20}, _GROUP | {"targetPercentage": 80}]},
        {
            "name": "r",
            "groups": [
                _GROUP | {"targetPercentage": 50, "successAction": {"action": "PAUSE", "expression": ""}},
                _GROUP | {"targetPercentage": 50},
            ],
        },
    ],
    "aws-iot": [
        {
            "jobExecutionsRolloutConfig": {"exponentialRate": _RATE, "maximumPerMinute": 30},
            "abortConfig": {"criteriaList": [_ABORT, _ABORT | {"failureType": "TIMED_OUT"}]},
            "timeoutConfig": {"inProgressTimeoutInMinutes": 25},
        },
        {
            "jobExecutionsRolloutConfig": {
                "exponentialRate": _RATE | {"rateIncreaseCriteria": {"numberOfSucceededThings": 4}},
                "maximumPerMinute": 30,
            },
            "abortConfig": {"criteriaList": [_ABORT | {"failureType": "REJECTED"}]},
            "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 2}]},
        },
    ],
    "mender": [
        {
            "name": "r",
            "artifact_name": "a",
            "phases": [
                {"batch_size": 20, "start_ts": "2026-01-01T00:00:00Z"},
                {"batch_size": 20, "start_ts": "2026-01-01T05:00:00Z"},
                {"start_ts": "2026-01-01T09:00:00Z"},
            ],
            "retries": 1,
        }
    ],
    "nebraska": [
        _NEBRASKA,
        _NEBRASKA | {"policy_safe_mode": False, "policy_period_interval": "3 hours"},
        _NEBRASKA | {"policy_office_hours": True, "policy_max_updates_per_period": 40},
    ],
    "azure": [
        {"rollbackPolicy": {"failure": {"devicesFailedPercentage": 10, "devicesFailedCount": 2}}},
    ],
}
"""Some of what each service can be asked for; others have what the scenario's groups become."""


@st.composite
def services(draw: st.DrawFn) -> dict[str, str]:
    """The keys of a scenario's table ``rollout`` that choose a service."""
    name = draw(one([*CONFIGS, *CONFIGS, "percentage", "deadline", "state", "automatic"]))
    if name in CONFIGS and draw(one([True, True, False])):
        return {"policy": name, "config": json.dumps(draw(one(CONFIGS[name])))}
    return {"policy": name}
