"""Import blocks and resources for the provider's Terraform provider, letscloud-community/letscloud.

Facts about its version 1.0.2, from its published source: it imports a machine by its identifier, sets `plan_slug` and
`image_slug` to fixed texts that are not those of the machine, and never sends a change of either. So `ignore_changes`
names both: otherwise every plan would show a change that cannot be made. Deleting a block deletes the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lcnb.errors import BadReply
from lcnb.exports.machines import (
    ExportedMachine,
    Only,
    chosen_machines,
    machines_count,
    read_machines,
)
from lcnb.exports.names import comment_text, distinct_names, word_name
from lcnb.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

RESOURCE = "letscloud_instance"
#: Location and name of an image → the slugs that it may have.
_ImageSlugs = dict[tuple[str, str], list[str]]


def terraform_import(
    inventory: pd.DataFrame | Rows, images: pd.DataFrame | Rows | None = None, only: Only = None
) -> str:
    """Return an import block and a resource per machine, for Terraform 1.5 or newer.

    Plan and image are inferred, since the API does not report them. What is not known is `""` with a comment
    `# unknown: ...`; the provider refuses to create a machine with it. A machine that has no identifier yet is only a
    comment, and one that has several rows is written once. The name of a resource is the label and the identifier, so
    it does not change when other machines do.

    Args:
        inventory: the frame of `lc.inventory()`, or rows selected from it.
        images: the frame of `lc.images()`, to infer the image of each machine.
        only: a flag per row; all machines by default.

    Raises InputError for rows that are no inventory, BadReply for an inventory that may be incomplete or that lists
    different machines with one identifier.

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> print(terraform_import(lc.inventory(), lc.images()).splitlines()[0])
    # lcnb wrote these blocks: 60 machines.
    """
    listed = read_machines(inventory, connections=False)
    machines = _distinct_machines(chosen_machines(listed, only), listed)
    slugs = _image_slugs(images)
    names = _resource_names(machines)
    return "\n".join([_head(machines), *(_blocks(each, names, slugs) for each in machines)])


def _distinct_machines(
    chosen: Sequence[ExportedMachine], listed: Sequence[ExportedMachine]
) -> list[ExportedMachine]:
    """Return each chosen machine once. Raises BadReply if another machine is listed with the identifier of one."""
    sharers: dict[str, set[tuple[str, str, str]]] = {}
    for each in listed:
        sharers.setdefault(each.identifier, set()).add((each.label, each.hostname, each.location))
    found: dict[str, ExportedMachine] = {}
    for number, each in enumerate(chosen):
        if not each.identifier:
            found[f" {number}"] = each
        elif len(sharers[each.identifier]) == 1:
            found.setdefault(each.identifier, each)
        else:
            labels = sorted(repr(label) for label, _, _ in sharers[each.identifier])
            raise BadReply(
                f"several machines are listed with the identifier {each.identifier}: {', '.join(labels)}",
                cure="Terraform could import the wrong one: read the inventory again later, or leave them out.",
                not_done="written",
                sent=True,
            )
    return list(found.values())


def _head(machines: Sequence[ExportedMachine]) -> str:
    return (
        f"# lcnb wrote these blocks: {machines_count(len(machines))}.\n"
        "# plan_slug and image_slug are inferred: the API reports neither. The provider cannot change them,\n"
        "# so ignore_changes names them. Removing the block of a machine makes Terraform delete the machine.\n"
    )


def _resource_names(machines: Sequence[ExportedMachine]) -> dict[str, str]:
    """Return the name of the resource of each machine, by identifier."""
    labels = {each.identifier: each.label for each in machines if each.identifier}

    def wanted(identifier: str) -> str:
        name = word_name(f"{labels[identifier]}_{identifier}")
        return name if name[0].isalpha() else f"m_{name}"

    return distinct_names(labels, wanted)


def _blocks(machine: ExportedMachine, names: dict[str, str], slugs: _ImageSlugs) -> str:
    summary = f"# {comment_text(machine.summary)}\n"
    if not machine.identifier:
        return f"{summary}# unknown: its identifier; the provider has not given it one yet\n"
    name = names[machine.identifier]
    lines = "\n".join(f"  {line}".rstrip() for line in _resource_lines(machine, slugs))
    return (
        f"{summary}import {{\n  to = {RESOURCE}.{name}\n  id = {quoted_text(machine.identifier)}\n}}\n\n"
        f'resource "{RESOURCE}" "{name}" {{\n{lines}\n}}\n'
    )


def _resource_lines(machine: ExportedMachine, slugs: _ImageSlugs) -> Iterator[str]:
    image, image_problem = _infer_image(machine, slugs)
    for name, value, problem in (
        ("label", machine.label, "the API reports no label"),
        ("hostname", machine.hostname, "the API reports no hostname"),
        ("location_slug", machine.location, "the API reports no location"),
        ("plan_slug", machine.plan, machine.price_note or "no plan matches"),
        ("image_slug", image, image_problem),
    ):
        unknown = "" if value else f" # unknown: {comment_text(problem)}"
        yield f"{name:<13} = {quoted_text(value)}{unknown}"
    yield "# unknown: password and ssh_keys; the API reports neither"
    yield ""
    yield "lifecycle {"
    yield "  prevent_destroy = true"
    yield "  ignore_changes  = [plan_slug, image_slug]"
    yield "}"


def _image_slugs(images: pd.DataFrame | Rows | None) -> _ImageSlugs:
    if images is None:
        return {}
    column = images.column if isinstance(images, Rows) else images.__getitem__
    found: _ImageSlugs = {}
    for location, distro, slug in zip(column("location"), column("distro"), column("slug"), strict=True):
        texts = [each if isinstance(each, str) else "" for each in (location, distro, slug)]
        if all(texts):
            found.setdefault((texts[0].upper(), texts[1]), []).append(texts[2])
    return found


def _infer_image(machine: ExportedMachine, slugs: _ImageSlugs) -> tuple[str, str]:
    """Return the slug of the image, and the reason if it is not known."""
    if not machine.template_label:
        return "", "the API reports no image"
    found = sorted(set(slugs.get((machine.location.upper(), machine.template_label), [])))
    if len(found) == 1:
        return found[0], ""
    many = f"several images have this name: {', '.join(found)}" if found else "no image has this name now"
    return "", f"{machine.template_label}: {many}"


def quoted_text(text: str) -> str:
    """Return a text as a string of Terraform's language: quoted, without templates.

    >>> print(quoted_text('a "b" ${c} %{d}'))
    "a \\"b\\" $${c} %%{d}"
    """
    plain = text.encode("utf-8", "replace").decode()
    quoted = "".join(map(_quoted_character, plain))
    return '"' + quoted.replace("${", "$${").replace("%{", "%%{") + '"'


def _quoted_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
