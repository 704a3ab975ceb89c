"""The Terraform text, as two parsers read it, against the schema that the provider has published."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import hcl2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lcnb
from exported_fleet import fleets, inventory_of, labels
from lcnb.exports import terraform_import
from lcnb.exports.terraform import RESOURCE, quoted_text
from lcnb.rows import Rows

SCHEMA = json.loads((Path(__file__).with_name("terraform_schema.json")).read_text(encoding="utf-8"))
needs_terraform = pytest.mark.skipif(not shutil.which("terraform"), reason="there is no terraform")


def unquoted(value: str) -> str:
    """The text of a string as python-hcl2 returns it."""
    assert value[0] == value[-1] == '"'
    return value[1:-1]


def parsed(text: str) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The imports (address → identifier) and the resources (address → attributes) of a text."""
    document = hcl2.loads(text)
    assert set(document) <= {"import", "resource", "__comments__", "__inline_comments__"}
    imports = {each["to"].strip("${}"): unquoted(each["id"]) for each in document.get("import", [])}
    assert len(imports) == len(document.get("import", []))
    resources: dict[str, dict[str, Any]] = {}
    for block in document.get("resource", []):
        for kind, named in block.items():
            for name, attributes in named.items():
                address = f"{unquoted(kind)}.{unquoted(name)}"
                assert address not in resources
                resources[address] = attributes
    return imports, resources


def check_schema(address: str, attributes: dict[str, Any]) -> None:
    """The attributes are those that the provider requires, and further ones that it takes, each of its type."""
    schema = SCHEMA["resources"][address.partition(".")[0]]
    given = {name: value for name, value in attributes.items() if not name.startswith("__")}
    (lifecycle,) = given.pop("lifecycle")
    assert set(schema["required"]) <= set(given) <= set(schema["required"]) | set(schema["optional"])
    assert all(isinstance(value, str) and value[0] == '"' for value in given.values())
    assert lifecycle["prevent_destroy"] is True
    assert {each.strip("${}") for each in lifecycle["ignore_changes"]} <= set(schema["required"])


def test_account(lc: lcnb.LetsCloud) -> None:
    """Each machine of the account is imported by its identifier into a resource that the provider's schema allows."""
    fleet = lc.inventory()
    text = terraform_import(fleet, lc.images())
    imports, resources = parsed(text)
    known = fleet[fleet.identifier.notna()].set_index("identifier")
    assert sorted(imports.values()) == sorted(known.index)
    assert set(imports) == set(resources)
    for address, attributes in resources.items():
        check_schema(address, attributes)
        machine = known.loc[imports[address]]
        assert unquoted(attributes["label"]) == machine.label
        assert unquoted(attributes["location_slug"]) == machine.location
        assert unquoted(attributes["plan_slug"]) == (machine.plan if isinstance(machine.plan, str) else "")
    assert text.count("# unknown: its identifier") == fleet.identifier.isna().sum()


@needs_terraform
def test_terraform_reads_it(lc: lcnb.LetsCloud, tmp_path: Path) -> None:
    """Terraform itself parses the text, and would not format it otherwise."""
    path = tmp_path / "fleet.tf"
    path.write_text(terraform_import(lc.inventory(), lc.images()), encoding="utf-8")
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", path], capture_output=True, text=True, timeout=600
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@needs_terraform
@given(fleets)
def test_any_label(fleet: list[dict[str, Any]]) -> None:
    """Whatever the labels and identifiers: Terraform can parse the text."""
    distinct = {each["identifier"] or f" {number}": each for number, each in enumerate(fleet)}
    text = terraform_import(inventory_of(*distinct.values()))
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-"], input=text.encode(), capture_output=True, timeout=600
    )
    assert done.returncode == 0, done.stderr.decode()
    words = [line.split()[0] for line in text.splitlines() if line and not line.startswith(" ")]
    assert set(words) <= {"#", "import", "resource", "}"}


@needs_terraform
def test_quoted_texts(tmp_path: Path) -> None:
    """Terraform evaluates a quoted text to the text itself: no label is a template or ends the string."""
    texts = [
        'a "b" \\c', "${1 + 1}", "%{ if true }x%{ endif }", "$${x}", "$$${x}", "%%{x}", "$", "%", "a\nb\r\t\x00\x07",
        "\u2028\u202e", "\U000e0001", "😀", "são", "{{ x }}", "$%{x}", "%${x}", "\\${x}", '"}\nresource "x" "y" {',
    ]  # fmt: skip
    line = f"base64encode(jsonencode([{', '.join(map(quoted_text, texts))}]))"
    done = subprocess.run(
        ["terraform", "console"], input=line + "\n", cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(b64decode(done.stdout.strip().strip('"'))) == texts


@given(st.one_of(st.text(), labels.map(str)))
def test_quoted_text(text: str) -> None:
    """A quoted text is one string of one line, without a template."""
    quoted = quoted_text(text)
    assert re.fullmatch(r'"([^"\\\n]|\\.)*"', quoted)
    assert len(quoted.splitlines()) == 1
    assert not re.search(r"(?<![$])(?:\$\$)*\$\{|(?<![%])(?:%%)*%\{", quoted)


def images_of(*rows: tuple[str, str, str]) -> Rows:
    """A listing of images: location, name, slug."""
    return Rows("images", {"location": "str", "distro": "str", "slug": "str"}, rows)


UNKNOWN = {
    "the plan": ({"plan": None, "price_note": "several plans match: a, b"}, 'plan_slug     = "" # unknown: several plans match: a, b'),
    "no plan": ({"plan": None, "price_note": None}, 'plan_slug     = "" # unknown: no plan matches'),
    "the image": ({"template_label": "Plan 9"}, 'image_slug    = "" # unknown: Plan 9: no image has this name now'),
    "which image": ({"template_label": "Docker"}, 'image_slug    = "" # unknown: Docker: several images have this name: d-1, d-2'),
    "no image": ({"template_label": None}, 'image_slug    = "" # unknown: the API reports no image'),
    "the location": ({"location": None}, 'location_slug = "" # unknown: the API reports no location'),
    "the hostname": ({"hostname": None}, 'hostname      = "" # unknown: the API reports no hostname'),
    "a line in it": ({"plan": None, "price_note": "a\nb"}, r'plan_slug     = "" # unknown: a\nb'),
    "its keys": ({}, "# unknown: password and ssh_keys; the API reports neither"),
    "nothing else": ({}, 'image_slug    = "debian-12-x86_64"\n'),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown(name: str) -> None:
    """What cannot be known is empty, and a comment gives the reason; the provider creates no machine with it."""
    machine, line = UNKNOWN[name]
    images = images_of(
        ("mia1", "Debian 12 x86_64", "debian-12-x86_64"), ("DAL1", "Debian 12 x86_64", "debian-12"),
        ("MIA1", "Docker", "d-1"), ("MIA1", "Docker", "d-2"),
    )  # fmt: skip
    assert line in terraform_import(inventory_of(machine), images)


def test_names_stay() -> None:
    """The name of a resource stays when twins come, labels look alike, or the order changes: no block disappears."""
    one = inventory_of({"label": "web", "identifier": "aaa"}, {"label": "1 db", "identifier": "bbb"})
    more = inventory_of(
        {"label": "web", "identifier": "ccc"}, {"label": "1-db", "identifier": "ddd"},
        {"label": "1 db", "identifier": "bbb"}, {"label": "web", "identifier": "aaa"},
    )  # fmt: skip
    before, after = parsed(terraform_import(one))[0], parsed(terraform_import(more))[0]
    assert before == {f"{RESOURCE}.web_aaa": "aaa", f"{RESOURCE}.m_1_db_bbb": "bbb"}
    assert before.items() <= after.items()
    assert len(after) == 4


def test_machine_listed_twice() -> None:
    """A machine that is there twice is written once; those without an identifier are all there."""
    fleet = inventory_of(
        {}, {"identifier": "id1", "label": "web-1"}, {"identifier": None}, {"identifier": None}
    )
    text = terraform_import(fleet)
    imports, resources = parsed(text)
    assert (list(imports.values()), len(resources)) == (["id1"], 1)
    assert text.count("# unknown: its identifier") == 2
    assert "3 machines" in text


@pytest.mark.parametrize("other", [{"label": "db"}, {"label": "web-1", "location": "DAL1"}])
def test_one_identifier_of_two_machines(other: dict[str, Any]) -> None:
    """Different machines with one identifier are refused, since nobody knows which one Terraform would delete."""
    fleet = inventory_of({}, {"identifier": "id1", **other}, {"label": "other"})
    named = f"the identifier id1: .*'{other['label']}'.* Nothing was written"
    with pytest.raises(lcnb.BadReply, match=named):
        terraform_import(fleet)
    with pytest.raises(lcnb.BadReply, match=named):
        terraform_import(fleet, only=[True, False, True])
    assert set(parsed(terraform_import(fleet, only=[False, False, True]))[0].values()) == {"id3"}
