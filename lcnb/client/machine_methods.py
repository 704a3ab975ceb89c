"""The methods that change machines: each returns a ChangeSet of one or of several machines, and sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from lcnb.api.flows import Flow
from lcnb.api.machine_names import MachineNames, checked_name, checked_names
from lcnb.client.derivation import change_method
from lcnb.deferred_imports import DeferredModule
from lcnb.flags import checked_flag
from lcnb.secret import Secret

if TYPE_CHECKING:
    from lcnb.api import passwords
    from lcnb.changes import build
    from lcnb.changes.build import BuiltChanges
else:  # a client that only reads does not need them
    passwords, build = DeferredModule("lcnb.api.passwords"), DeferredModule("lcnb.changes.build")


class MachineMethods:
    """What a client changes about its machines."""

    #: What was read to build changes.
    _cache: Any

    @change_method
    def delete_instance(
        self,
        machines: MachineNames | None = None,
        *,
        label: str | None = None,
        identifier: str | None = None,
        skip_busy: bool = False,
    ) -> Flow[BuiltChanges]:
        """Delete machines and their disks, which cannot be undone.

        Machines, `skip_busy` and errors as for `power_off`.
        """
        return self._change_machines(
            machines, label, identifier, skip_busy, partial(build.delete_instance, self._cache)
        )

    @change_method
    def power_on(
        self,
        machines: MachineNames | None = None,
        *,
        label: str | None = None,
        identifier: str | None = None,
        skip_busy: bool = False,
    ) -> Flow[BuiltChanges]:
        """Turn machines on. Machines, `skip_busy` and errors as for `power_off`."""
        return self._change_machines(
            machines, label, identifier, skip_busy, partial(build.change_power, action="power on")
        )

    @change_method
    def power_off(
        self,
        machines: MachineNames | None = None,
        *,
        label: str | None = None,
        identifier: str | None = None,
        skip_busy: bool = False,
    ) -> Flow[BuiltChanges]:
        """Turn machines off, as pulling the plug does; `shutdown` is gentler.

        Args:
            machines: a label, an identifier, or a list of them.
            label, identifier: one machine, by the one or the other.
            skip_busy: leave out the machines that are busy, still being built or suspended; `.notes` of the ChangeSet
                lists them. Without it the whole set is refused. Protected machines are never left out.

        Raises ChangesRefused whose `.refused` lists every machine that cannot be changed now, with the reason;
        Protected if all of these are protected; NotFound that lists the unknown names; InputError for a name that
        several machines have, such as a label that is the identifier of another machine.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> try:
        ...     lc.power_off(["web-01", "vpn-01"])
        ... except lcnb.ChangesRefused as error:
        ...     [(each.label, each.kind) for each in error.refused]
        [('vpn-01', 'busy')]
        >>> lc.power_off(["web-01", "vpn-01"], skip_busy=True).notes
        ('vpn-01 was left out: busy, an action is in progress',)
        """
        return self._change_machines(
            machines, label, identifier, skip_busy, partial(build.change_power, action="power off")
        )

    @change_method
    def shutdown(
        self,
        machines: MachineNames | None = None,
        *,
        label: str | None = None,
        identifier: str | None = None,
        skip_busy: bool = False,
    ) -> Flow[BuiltChanges]:
        """Let the operating systems of machines shut down. Machines, `skip_busy` and errors as for `power_off`."""
        return self._change_machines(
            machines, label, identifier, skip_busy, partial(build.change_power, action="shut down")
        )

    @change_method
    def reboot(
        self,
        machines: MachineNames | None = None,
        *,
        label: str | None = None,
        identifier: str | None = None,
        skip_busy: bool = False,
    ) -> Flow[BuiltChanges]:
        """Restart machines. Machines, `skip_busy` and errors as for `power_off`."""
        return self._change_machines(
            machines, label, identifier, skip_busy, partial(build.change_power, action="reboot")
        )

    @change_method
    def reset_password(
        self,
        machines: MachineNames | None = None,
        *,
        label: str | None = None,
        identifier: str | None = None,
        password: str | Secret | None = None,
        skip_busy: bool = False,
    ) -> Flow[BuiltChanges]:
        """Set a new root password: the given one, or one that lcnb generates for each machine and `reveal` returns.

        Machines, `skip_busy` and errors as for `power_off`.
        """
        checked = None if password is None else passwords.checked_password(password)
        return self._change_machines(
            machines, label, identifier, skip_busy, partial(build.reset_password, password=checked)
        )

    @change_method
    def change_plan(
        self,
        machines: MachineNames | None = None,
        *,
        label: str | None = None,
        identifier: str | None = None,
        plan: str,
        skip_busy: bool = False,
    ) -> Flow[BuiltChanges]:
        """Change the plan of machines; the new disk must not be smaller. The preview shows the price difference.

        Machines, `skip_busy` and errors as for `power_off`; a machine whose location does not offer the plan, or whose
        disk would shrink, is refused.
        """
        return self._change_machines(
            machines, label, identifier, skip_busy, partial(build.change_plan, self._cache, slug=plan)
        )

    @change_method
    def create_snapshot(
        self,
        machine: str | None = None,
        *,
        label: str,
        of: str | None = None,
        identifier: str | None = None,
    ) -> Flow[BuiltChanges]:
        """Store an image of a machine: `label` names the snapshot, `of` the machine by its label.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).create_snapshot("db-01", label="db-01 before upgrade")[0].target
        'db-01'
        """
        work = partial(build.create_snapshot, label=build.checked_label(label))
        return build.change_named_machines(self._cache, [checked_name(machine, of, identifier)], work)

    def _change_machines(
        self,
        machines: MachineNames | None,
        label: str | None,
        identifier: str | None,
        skip_busy: bool,
        work: Callable[..., Any],
    ) -> Flow[BuiltChanges]:
        skip = checked_flag("skip_busy", skip_busy)
        names = checked_names(machines, label, identifier)
        return build.change_named_machines(self._cache, names, work, skip_busy=skip)
