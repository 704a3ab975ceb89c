"""What people type, make and reveal in the forms, and what is left of it in a notebook and its HTML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytest.importorskip("playwright")
pytest.importorskip("voila")

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from nbconvert import HTMLExporter

from browser.conftest import Front
from browser.test_admin import PASSWORD, act, ended, fill_in, form_of, press, typed
from conftest import TOKEN

SECOND = "Canary-5-Reset-Pw"


def confirmed(form: Any, yes: str, types: str = "") -> None:
    """Reviewed, confirmed, done."""
    press(form, "Review …")
    button = form.get_by_role("button", name=yes, exact=True)
    button.wait_for()
    if types:
        form.get_by_label("Type to confirm", exact=True).fill(types)
    button.click()
    ended(form)


def others(page: Any) -> None:
    """Use the forms that handle no secret of their own."""
    public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM3RptBQl/bvTu7bQRwOZKxKZOWEmX+k+CwgafWzJxIw ana"
    add = {"Title": "mine", "Public key": public}
    confirmed(form_of(page, "SSH keys", "Add a public key", add), "Yes, add it")
    confirmed(form_of(page, "SSH keys", "Delete a key", {}, "mine"), "Yes, delete it", "mine")
    new = {"Snapshot name": "kept"}
    confirmed(form_of(page, "Snapshots", "New snapshot", new, "canary-01"), "Yes, make it")
    confirmed(
        form_of(page, "Snapshots", "Rename a snapshot", {"New name": "named"}, "kept"), "Yes, rename it"
    )
    confirmed(form_of(page, "Snapshots", "Delete a snapshot", {}, "named"), "Yes, delete it", "named")


def used(page: Any, front: Front) -> set[str]:
    """Use every form; gives all secrets: typed, made, revealed, written to a file."""
    form = fill_in(page, "canary-01")
    typed(form, PASSWORD)
    confirmed(form, "Yes, create it")
    page.get_by_role("button", name="Machines", exact=True).click()
    page.get_by_label("tick canary-01", exact=True).check()
    for _ in range(2):
        page.get_by_role("button", name="Show initial password", exact=True).click()
        shown = page.locator(".lcnb-shown")
        shown.get_by_text("shown for 60 s; it is in no saved file").wait_for()
        assert PASSWORD in shown.inner_text()
        shown.get_by_role("button", name="Hide", exact=True).click()
        shown.wait_for(state="hidden")
    page.get_by_role("button", name="Show initial password", exact=True).click()
    shown.get_by_text(PASSWORD).wait_for()
    form = act(page, "canary-01", "Reset root password")
    typed(form, SECOND)
    confirmed(form, "Yes, reset password", "canary-01")
    form = act(page, "canary-01", "Reset root password")
    confirmed(form, "Yes, reset password", "canary-01")
    for title, where, yes in (("here", "this machine", "add it"), ("there", "the provider", "make it")):
        texts = {"Title": title, "Private key file": str(front.folder / title)}
        form = form_of(page, "SSH keys", "Make a new pair", texts)
        made_by = form.get_by_label("Made by", exact=True)
        made_by.select_option(label=next(each for each in made_by.inner_text().splitlines() if where in each))
        confirmed(form, f"Yes, {yes}")
    others(page)
    found = {PASSWORD, SECOND, TOKEN}
    for title in ("here", "there"):
        text = (front.folder / title).read_text()
        lines = text.splitlines()
        assert "PRIVATE KEY" in lines[0]
        # A line of an RSA key in PKCS#1 may hold the modulus alone, which is in the public half too.
        found |= {line for line in lines[1:-1] if len(line) > 30 and line not in public_half(text)}
    return found | {each["initial_root_password"] for each in front.machines()} - {None, ""}


def public_half(private: str) -> str:
    """The line that belongs to a private key."""
    load = load_pem_private_key if "RSA" in private.splitlines()[0] else load_ssh_private_key
    key = load(private.encode(), None)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def test_nothing_is_kept(front: Front) -> None:
    """After every form was used, nothing that is kept has a secret in it: notebook, HTML, journal, state, what was said."""
    page = front.page
    secrets = used(page, front)
    assert len(secrets) > 15
    kept: dict[str, str] = {
        "what the server said": "\n".join(front.said),
        "the console": "\n".join(front.trouble),
    }
    if front.kind == "lab":
        page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        notebook = nbformat.read(front.folder / "admin.ipynb", as_version=4)
        assert notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
        kept["HTML"], _ = HTMLExporter().from_notebook_node(notebook)
        assert "lcnb-admin" in kept["HTML"]
    own = {front.folder / title for title in ("here", "there")}
    for path in front.folder.rglob("*"):
        if path.is_file() and path not in own:
            kept[str(path)] = path.read_bytes().decode("utf-8", "replace")
    assert any(Path(name).suffix == ".sqlite" for name in kept)
    for name, text in kept.items():
        for secret in secrets:
            assert secret not in text, name
            assert json.dumps(secret)[1:-1] not in text, name
