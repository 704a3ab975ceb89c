"""The inventory in the formats of other tools: ssh, Ansible, Terraform, Prometheus.

Each format is one function that takes the frame of `lc.inventory()` and returns a text; `lcnb inventory -o FORMAT`
prints or writes the same text. `machines` reads and checks the rows, `names` gives each machine a name that every tool
accepts, `connection` reads the tags that say how a machine is reached, `formats` lists the formats of the command. May
import everything above `exports` in the order of packages; without pandas, so that the command starts fast.
"""

from lcnb.exports.ansible import ansible_inventory, ansible_script
from lcnb.exports.prometheus import prometheus_metrics, prometheus_targets
from lcnb.exports.ssh import ssh_config
from lcnb.exports.terraform import terraform_import

__all__ = [
    "ansible_inventory",
    "ansible_script",
    "prometheus_metrics",
    "prometheus_targets",
    "ssh_config",
    "terraform_import",
]
