"""Mistakes that a type checker must find: each line that ends with `# wrong` is one, and no other is."""

from __future__ import annotations

import lcnb
from lcnb.exports import ssh_config


def sync_mistakes(lc: lcnb.LetsCloud) -> None:
    lcnb.conect()  # wrong
    lc.power_of("web-01")  # wrong
    lc.power_off(lable="web-01")  # wrong
    lc.power_off(3)  # wrong
    lc.reboot("web-01").apply(confirm=3)  # wrong
    lc.reboot("web-01").apply(on_error="ignore")  # wrong
    print(lc.instance("web-01").ipv5)  # wrong
    ssh_config(lc.instance("web-01"))  # wrong
    lcnb.SelectedRows(lc.instances()).power_off("web-01")  # wrong
    lcnb.run("inventory")  # wrong
    lc.inventory().head()


async def async_mistakes(lc: lcnb.AsyncLetsCloud) -> None:
    lc.instances().head()  # wrong
    (await lc.reboot("web-01")).apply(confirm=True).head()  # wrong
    (await lc.instances()).head()
