"""How an account is changed: ChangeSets are built, previewed, confirmed, applied and recorded.

Imports the ground floor, api, transport, frames and display; no client. Its layers, lowest first:

- values: `change`, `tasks`, `live_account`, `journal`, `client_protocol`
- building: `reading`, `lookups`, `name_rules`, `key_material`, `machine_specs`, `built`
- `actions`: one class per action, with its checks, drift, evidence, goal and cost
- applying: `session`, `settling`, `sending`, `locks`, `starting`, `results`
- faces: `changeset`, `resuming`, `desired_state`, `accessor`, `progress`, and for clients `build` and `apply`
"""
