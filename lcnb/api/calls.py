"""Each endpoint as a pure function that gives a `Call`; what needs several calls is a flow.

A `Call` is a value: method, path, body, effect and a one-line summary; nothing is sent here. A flow is a
generator that yields Calls (or `Together`, several flows at once) and is given the answers; the drivers in
`wire` do the sending and the waiting. The shapes that an answer may take (list, object keyed by position,
null, wrappers, pages) end here: what leaves a flow is a `Listing` of plain JSON records.

Source of paths, bodies and shapes: the provider's clients and reference, as docs/api.md lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import quote

from lcnb.api.models import Drift
from lcnb.api.raw_records import Rows
from lcnb.errors import BadReply, InputError, LcnbError, NotFound, Refused
from lcnb.secret import STARS, Secret

#: What a call does, which decides whether it may be sent again when its outcome is unknown.
Effect = Literal["read", "set", "delete", "create", "toggle"]

#: Seconds that one attempt of a write waits for its answer at least, however short the deadline is: twice what the
#: provider's own client waits [go 1.2.0]. A write that is given up is not undone by that: it may still take effect, and
#: what only its answer holds, such as a private key, is lost.
WRITE_ATTEMPT_MIN_S = 120.0

T = TypeVar("T")
Flow = Generator["Call | Together | Pause | Do", Any, T]


@dataclass(frozen=True)
class Call:
    """One request as a value. Bodies are JSON; `body` is not shown in a repr, since it may hold a password.

    A Secret in the body is revealed when it is sent, and nowhere else.
    """

    method: str
    path: str
    summary: str
    effect: Effect = "read"
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    #: Some endpoints may answer with no body at all [doc].
    may_be_empty: bool = False
    #: The records of the answer are wanted as Rows, where it is plain enough: for listings that may be long.
    as_rows: bool = field(default=False, repr=False)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not be told on when the provider repeats it in a message."""
        return tuple(value for value in (self.body or {}).values() if isinstance(value, Secret))

    def masked_body(self) -> dict[str, Any] | None:
        """The body with stars for secrets, as it is shown and journaled."""
        if self.body is None:
            return None
        return {name: STARS if isinstance(value, Secret) else value for name, value in self.body.items()}


def attempt_limit_s(call: Call, remaining_s: float) -> float:
    """Seconds that one attempt of a call may take. This is the only place that decides it.

    A read has what is left of the deadline. A write has that too, and WRITE_ATTEMPT_MIN_S at least.
    """
    return remaining_s if call.effect == "read" else max(remaining_s, WRITE_ATTEMPT_MIN_S)


@dataclass(frozen=True)
class Together:
    """Several flows at once; the answer is the list of their results, in order."""

    flows: Sequence[Flow[Any]]


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds; `why` is shown to who waits."""

    seconds: float
    why: str


@dataclass(frozen=True)
class Do:
    """A deed on this machine, such as a line in the journal; the answer is what `work` returns."""

    what: str
    work: Callable[[], Any] = field(repr=False)


@dataclass(frozen=True)
class Envelope:
    """A successful answer: the whole JSON object and its `data`."""

    #: In no repr, as the records of a Listing: they hold initial passwords, and tracebacks may print locals.
    document: Mapping[str, Any] = field(repr=False)

    @property
    def data(self) -> Any:
        return self.document.get("data")


class Listing:
    """Records with their JSON paths, and the odd places met on the way.

    Records that came as Rows are decoded when `records` is first asked for.
    """

    def __init__(
        self,
        records: list[tuple[str, Mapping[str, Any]]] | None = None,
        drift: list[Drift] | None = None,
        read_at: datetime | None = None,
    ) -> None:
        #: When it was read, if that was earlier: a part of it was kept.
        self.read_at = read_at
        self.drift = [] if drift is None else drift
        self._records = [] if records is None else records
        self._rows: list[Rows] = []

    def __repr__(self) -> str:
        return f"Listing({len(self)} records, drift={self.drift!r})"

    def __len__(self) -> int:
        return len(self._records) + sum(map(len, self._rows))

    @property
    def records(self) -> list[tuple[str, Mapping[str, Any]]]:
        rows, self._rows = self._rows, []
        for page in rows:
            self._records.extend((path_of(place), page[index]) for index, place in enumerate(page.places))
        return self._records

    @records.setter
    def records(self, records: list[tuple[str, Mapping[str, Any]]]) -> None:
        self._records, self._rows = records, []

    @property
    def rows(self) -> Sequence[Rows]:
        """The records as bytes, in pages; empty when there are none, or when some are only there as `records`."""
        return () if self._records else self._rows

    def add(self, rows: Rows) -> None:
        """One more page of records."""
        self._rows.append(rows)
        self.drift.extend(_left_out(path_of(place), other) for place, other in rows.others.items())


def path_of(place: int, path: str = "$.data") -> str:
    """The JSON path of a record in a list."""
    return f"{path}[{place}]"


# --- the calls ------------------------------------------------------------------------------------------


def get_profile() -> Call:
    return Call("GET", "/profile", "read the profile")


def get_locations() -> Call:
    return Call("GET", "/locations", "list the locations")


def get_plans(location: str) -> Call:
    return Call("GET", f"/locations/{segment('location', location)}/plans", f"list the plans of {location}")


def get_images(location: str) -> Call:
    return Call("GET", f"/locations/{segment('location', location)}/images", f"list the images of {location}")


def get_sshkeys() -> Call:
    return Call("GET", "/sshkeys", "list the ssh keys")


def get_sshkey(slug: str) -> Call:
    return Call("GET", f"/sshkeys/{segment('ssh key slug', slug)}", f"read the ssh key {slug}")


def get_instances() -> Call:
    return Call("GET", "/instances", "list the instances")


def get_instance(identifier: str) -> Call:
    return Call("GET", f"/instances/{segment('identifier', identifier)}", f"read the instance {identifier}")


def get_snapshots() -> Call:
    return Call("GET", "/snapshots", "list the snapshots")


def get_snapshot(slug: str) -> Call:
    return Call("GET", f"/snapshots/{segment('snapshot slug', slug)}", f"read the snapshot {slug}")


# --- the calls that change something --------------------------------------------------------------------


def create_instance(body: Mapping[str, Any]) -> Call:
    """`body`: location_slug, plan_slug, hostname, label, image_slug, and ssh_slug or password or both."""
    return Call("POST", "/instances", f"create the instance {body['label']}", "create", dict(body))


def delete_instance(identifier: str) -> Call:
    path = f"/instances/{segment('identifier', identifier)}"
    return Call("DELETE", path, f"delete the instance {identifier}", "delete")


def power_on(identifier: str) -> Call:
    return _action("PUT", identifier, "power-on", "turn on", "set")


def power_off(identifier: str) -> Call:
    return _action("PUT", identifier, "power-off", "turn off", "set")


def shutdown(identifier: str) -> Call:
    return _action("POST", identifier, "shutdown", "shut down", "set", may_be_empty=True)


def reboot(identifier: str) -> Call:
    return _action("PUT", identifier, "reboot", "reboot", "toggle")


def reset_password(identifier: str, password: Secret) -> Call:
    body = {"password": password}
    return _action("PUT", identifier, "reset-password", "reset the password of", "set", body)


def change_plan(identifier: str, plan: str) -> Call:
    body = {"plan_slug": plan}
    return _action("PUT", identifier, "change-plan", f"change to {plan}", "set", body, may_be_empty=True)


def _action(
    method: str,
    identifier: str,
    action: str,
    verb: str,
    effect: Effect,
    body: Mapping[str, Any] | None = None,
    *,
    may_be_empty: bool = False,
) -> Call:
    path = f"/instances/{segment('identifier', identifier)}/{action}"
    return Call(method, path, f"{verb} the instance {identifier}", effect, body, may_be_empty)


def add_sshkey(title: str, public_key: str) -> Call:
    """The same title replaces that key, so sending it twice is the same as once."""
    return Call("POST", "/sshkeys", f"add the ssh key {title}", "set", {"title": title, "key": public_key})


def generate_sshkey(title: str) -> Call:
    """The provider makes the pair; the private half stands in this one answer and never again."""
    return Call("POST", "/sshkeys", f"generate the ssh key {title}", "create", {"title": title})


def delete_sshkey(slug: str) -> Call:
    segment("ssh key slug", slug)
    return Call("DELETE", "/sshkeys", f"delete the ssh key {slug}", "delete", {"slug": slug})


def create_snapshot(identifier: str, label: str) -> Call:
    path = f"/instances/{segment('identifier', identifier)}/snapshots"
    return Call("POST", path, f"make the snapshot {label} of {identifier}", "create", {"label": label})


def rename_snapshot(slug: str, label: str) -> Call:
    path = f"/snapshots/{segment('snapshot slug', slug)}"
    return Call("PUT", path, f"rename the snapshot {slug} to {label}", "set", {"label": label})


def delete_snapshot(slug: str) -> Call:
    path = f"/snapshots/{segment('snapshot slug', slug)}"
    return Call("DELETE", path, f"delete the snapshot {slug}", "delete")


def segment(what: str, value: object) -> str:
    """`value` as one segment of a path. An empty one, or a dot path, would name another endpoint."""
    if not isinstance(value, str):
        raise InputError(f"{what}: expected a text, got {value!r}. Nothing was sent.")
    if not value.strip() or value.strip(".") == "" or not value.isprintable() or value != value.strip():
        raise InputError(f"{what}: {value!r} cannot be one. Nothing was sent.")
    return quote(value, safe="")


# --- listings -------------------------------------------------------------------------------------------


#: Listing → the fields of which each of its records has one.
MARKS = {
    "instances": ("identifier", "label", "hostname"),
    "snapshots": ("slug", "label"),
    "sshkeys": ("slug", "title"),
    "locations": ("slug",),
    "plans": ("plans", "slug"),
    "images": ("slug",),
    "profile": ("name", "email", "currency", "balance"),
}
#: How deep records may be wrapped: `{"data": {"instances": {"data": [...]}}}`.
MAX_WRAPPERS = 4


def listing(call: Call) -> Flow[Listing]:
    """All records of a listing, pages followed when the answer shows paging.

    Raises BadReply for an answer whose shape is not understood: it must never be taken for an empty account.
    """
    marks = MARKS[_kind_of(call)]
    found = Listing()
    envelope = yield call
    for page in range(2, 10_000):
        holders: list[Mapping[str, Any]] = [envelope.document]
        if isinstance(envelope.data, Rows):
            if not envelope.data.empty and not envelope.data.any_has(marks):
                raise _no_record(call, "$.data", marks)
            found.add(envelope.data)
        else:
            path, data = _unwrapped(call, envelope.document, marks, holders)
            records = list(items(call, data, path, marks, found.drift))
            if not records:
                _check_nothing_else(call, holders)
            found.records.extend(records)
        if not _has_next(holders):
            if page == 2:
                _check_total(call, found, holders)
            _note_unread_pages(found, holders)
            return found
        next_call = replace(call, path=f"{call.path}?page={page}", summary=f"{call.summary}, page {page}")
        before, envelope = envelope, (yield next_call)
        if envelope.document == before.document:
            found.drift.append(Drift("$", "says that there are more pages, but repeats itself"))
            return found
    raise BadReply(f"{call.method} {call.path}: 10,000 pages and no end.", method=call.method, path=call.path)


def _kind_of(call: Call) -> str:
    return call.path.partition("?")[0].rpartition("/")[2]


def _unwrapped(
    call: Call, document: Mapping[str, Any], marks: Sequence[str], holders: list[Mapping[str, Any]]
) -> tuple[str, Any]:
    """What holds the records, and its path; the wrappers on the way there are added to `holders`.

    Wrappers that are known: `data` (Laravel's paginator puts the rows one level deeper) and the listing's own name.
    """
    names = ("data", _kind_of(call))
    path, data = "$", document
    for _ in range(MAX_WRAPPERS):
        given = [each for each in names if data.get(each) is not None]
        if not given:
            return f"{path}.data", None  # null, or no data at all: there are no records
        name = next((each for each in given if data[each]), given[0])
        path, data = f"{path}.{name}", data[name]
        if (
            not isinstance(data, Mapping)
            or _is_record(data, marks)
            or not any(each in data for each in names)
        ):
            break
        holders.append(data)
    return path, data


#: Fields of an answer that stand next to its records, and are none.
_BESIDES = ("links", "meta", "pagination")


def _check_nothing_else(call: Call, holders: Sequence[Mapping[str, Any]]) -> None:
    """BadReply for an answer without records that holds something else, which may be the records."""
    for holder in holders:
        for name, value in holder.items():
            if name not in _BESIDES and isinstance(value, Mapping | list) and value and value not in holders:
                raise _not_understood(call, "$", f"there are no records, but there is {name!r}")


def _is_record(data: Mapping[str, Any], marks: Sequence[str]) -> bool:
    return not set(marks).isdisjoint(data)


def items(
    call: Call, data: Any, path: str, marks: Sequence[str], drift: list[Drift]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The records in a list, in an object keyed by position, or in null; odd rows are noted and left out.

    BadReply when something is listed, but nothing of it is a record.
    """
    entries = list(_entries(call, data, path, marks))
    if entries and not any(isinstance(each, Mapping) and _is_record(each, marks) for _, each in entries):
        raise _no_record(call, path, marks)
    for where, record in entries:
        if isinstance(record, Mapping):
            yield where, record
        else:
            drift.append(_left_out(where, record))


def _no_record(call: Call, path: str, marks: Sequence[str]) -> BadReply:
    return _not_understood(call, path, f"nothing in it is a record with {' or '.join(marks)}")


def _not_understood(call: Call, path: str, problem: str) -> BadReply:
    return BadReply(
        f"{call.method} {call.path}: the shape of {path} is not understood: {problem}. "
        "An empty listing was not assumed.",
        method=call.method,
        path=call.path,
    )


def _left_out(where: str, record: Any) -> Drift:
    kind = "null" if record is None else type(record).__name__
    return Drift(where, f"expected an object, got {kind}; the row was left out")


def _entries(call: Call, data: Any, path: str, marks: Sequence[str]) -> Iterator[tuple[str, Any]]:
    if data is None:
        return
    if isinstance(data, list):
        yield from ((path_of(place, path), record) for place, record in enumerate(data))
    elif isinstance(data, Mapping) and _is_record(data, marks):
        yield path, data
    elif isinstance(data, Mapping):
        yield from ((f"{path}[{key!r}]", record) for key, record in data.items())
    else:
        raise _not_understood(call, path, f"expected a list, got {type(data).__name__}")


def _paging(holders: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Each object of an answer that may say how many pages or records there are."""
    for holder in holders:
        yield holder
        meta = holder.get("meta")
        for each in (
            meta,
            holder.get("pagination"),
            meta.get("pagination") if isinstance(meta, Mapping) else None,
        ):
            if isinstance(each, Mapping):
                yield each


def _has_next(holders: Sequence[Mapping[str, Any]]) -> bool:
    for holder in _paging(holders):
        links = holder.get("links")
        if holder.get("next_page_url") or (isinstance(links, Mapping) and links.get("next")):
            return True
        current, last = holder.get("current_page"), holder.get("last_page", holder.get("total_pages"))
        if isinstance(current, int) and isinstance(last, int) and current < last:
            return True
    return False


#: How paginations that are not followed here say that there is more.
_MORE = ("has_more", "has_next", "next_cursor", "next")


def _note_unread_pages(found: Listing, holders: Sequence[Mapping[str, Any]]) -> None:
    """A note when an answer says in another way that there are more records: what is not listed may be there."""
    for holder in _paging(holders):
        links = holder.get("links")
        for place in (holder, links if isinstance(links, Mapping) else {}):
            more = next(
                (name for name in _MORE if isinstance(place.get(name), str | bool | int) and place[name]),
                None,
            )
            if more is not None:
                found.drift.append(
                    Drift("$", f"{more} says that there are more records, and they were not read")
                )
                return


def _check_total(call: Call, found: Listing, holders: Sequence[Mapping[str, Any]]) -> None:
    """Whether an answer of one page has all records that it says there are: BadReply for none, else a note."""
    totals = [holder.get(name) for holder in _paging(holders) for name in ("total", "count", "total_count")]
    total = max((each for each in totals if isinstance(each, int) and not isinstance(each, bool)), default=0)
    if total > len(found) + len(found.drift):
        if not len(found):
            raise _not_understood(call, "$", f"it says that there are {total} records, and none came")
        found.drift.append(Drift("$", f"says that there are {total} records, but {len(found)} came"))


Fetch = Callable[[], Flow[Listing]]
#: Listings by a name of their own, each with the flow that reads it.
Wanted = Mapping[str, Fetch]
#: What came of them; a refusal stands in the place of its listing.
Answers = Mapping[str, "Listing | LcnbError"]
#: Wants listings, and others when it has the answers, until it has its result.
Stages = Generator[Wanted, Answers, T]


class Keep(Protocol):
    """Gives stages what they want: what was kept of it, or what its flows read, those of a stage at once."""

    def __call__(self, stages: Callable[[], Stages[T]]) -> Flow[T]: ...


def fresh(stages: Callable[[], Stages[T]]) -> Flow[T]:
    """Keeps nothing."""
    running = stages()
    answers: Answers | None = None
    while True:
        try:
            wanted = running.send(answers)  # type: ignore[arg-type] # None to begin with
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        answers = yield from read_all(wanted)


def read_all(wanted: Wanted, guessed: Collection[str] = ()) -> Flow[dict[str, Listing | LcnbError]]:
    """What the flows of these listings read, all at once; what is guessed to be wanted may fail in any way."""
    flows = {
        name: _or_error(fetch(), LcnbError if name in guessed else REFUSALS) for name, fetch in wanted.items()
    }
    if len(flows) == 1:
        ((name, flow),) = flows.items()
        return {name: (yield from flow)}
    answers = yield Together(list(flows.values()))
    return dict(zip(flows, answers, strict=True))


def _one(name: str, fetch: Fetch) -> Stages[Listing]:
    found = (yield {name: fetch})[name]
    if isinstance(found, LcnbError):
        raise found
    return found


def _locations() -> Stages[Listing]:
    return (yield from _one("locations", partial(listing, get_locations())))


def locations(keep: Keep = fresh) -> Flow[Listing]:
    return (yield from keep(_locations))


def instances() -> Flow[Listing]:
    return (yield from listing(replace(get_instances(), as_rows=True)))


def snapshots() -> Flow[Listing]:
    return (yield from listing(get_snapshots()))


def sshkeys() -> Flow[Listing]:
    """An account with no key answers HTTP 200 with `success: false`; that is an empty listing [go, node]."""
    try:
        return (yield from listing(get_sshkeys()))
    except Refused:
        return Listing()


def plans_of(location: str) -> Flow[Listing]:
    """The plans of one location. They come in wrappers, one a location, or in one such wrapper [go / node]."""
    call = get_plans(location)
    wrappers = yield from listing(call)
    found = Listing(drift=wrappers.drift)
    for path, wrapper in wrappers.records:
        if "plans" in wrapper:
            slug = wrapper.get("slug") or location
            inner, data = _unwrapped(call, wrapper, ("slug", "monthly_value"), [])
            rows = items(call, data, path + inner.removeprefix("$"), ("slug", "monthly_value"), found.drift)
        else:  # a bare list of plans
            slug, rows = location, iter([(path, wrapper)])
        if str(slug).upper() == location.upper():
            found.records.extend((where, {**row, "location": slug}) for where, row in rows)
    return found


def images_of(location: str) -> Flow[Listing]:
    images = yield from listing(get_images(location))
    images.records = [(path, {**record, "location": location}) for path, record in images.records]
    return images


def plans(
    location: str | None = None, among: Sequence[str] | None = None, keep: Keep = fresh
) -> Flow[Listing]:
    """The plans of one location, of those in `among`, or of all."""
    return (yield from _of_locations("plans", location, among, keep))


def images(location: str | None = None, keep: Keep = fresh) -> Flow[Listing]:
    """The images of one location, or of all."""
    return (yield from _of_locations("images", location, None, keep))


def catalogue(keep: Keep = fresh) -> Flow[tuple[Listing, Listing, Listing]]:
    """Locations, plans and images: after the locations everything at once."""
    return (yield from keep(_catalogue))


def _catalogue() -> Stages[tuple[Listing, Listing, Listing]]:
    places = yield from _locations()
    slugs = _slugs(places)
    found = yield {**_wanted("plans", slugs), **_wanted("images", slugs)}
    return places, _joined("plans", slugs, found), _joined("images", slugs, found)


_OF_ONE = {"plans": plans_of, "images": images_of}


def _of_locations(what: str, location: str | None, among: Sequence[str] | None, keep: Keep) -> Flow[Listing]:
    if location is not None:
        slug = yield from _spelt(location, keep)
        ((name, fetch),) = _wanted(what, [slug]).items()
        return (yield from keep(partial(_one, name, fetch)))
    return (yield from keep(partial(_of_several, what, among)))


def _of_several(what: str, among: Sequence[str] | None) -> Stages[Listing]:
    if among is None:
        among = _slugs((yield from _locations()))
    return _joined(what, among, (yield _wanted(what, among)))


def _wanted(what: str, slugs: Sequence[str]) -> Wanted:
    return {f"{what} of {slug}": partial(_OF_ONE[what], slug) for slug in slugs}


def _joined(what: str, slugs: Sequence[str], answers: Answers) -> Listing:
    """The listings of several locations as one; one that was refused is noted, not fatal."""
    found = Listing()
    for slug in dict.fromkeys(slugs):
        answer = answers[f"{what} of {slug}"]
        if isinstance(answer, LcnbError):
            reason = getattr(answer, "provider_message", None) or str(answer)
            found.drift.append(Drift(f"{what} of {slug}", f"not to be had: {reason}"))
            continue
        found.records.extend((f"{slug}: {path}", record) for path, record in answer.records)
        found.drift.extend(Drift(f"{slug}: {each.path}", each.problem) for each in answer.drift)
        if answer.read_at is not None:
            found.read_at = min(answer.read_at, found.read_at or answer.read_at)
    return found


def _slugs(places: Listing) -> list[str]:
    return [str(record["slug"]) for _, record in places.records if record.get("slug")]


def _spelt(location: str, keep: Keep) -> Flow[str]:
    """The location as the catalogue spells it (`mia1` → `MIA1`); an unknown one is refused with a suggestion."""
    segment("location", location)
    places = yield from locations(keep)
    known = _slugs(places)
    if location.lower() not in map(str.lower, known) and places.read_at is not None:
        known = _slugs((yield from locations()))  # it may be newer than what was kept
    for slug in known:
        if slug.lower() == location.lower():
            return slug
    raise unknown_location(location, known)


def unknown_location(location: str, known: Sequence[str]) -> InputError:
    """The error for a location that the account does not have, with the nearest one that it has."""
    from lcnb.config import did_you_mean

    return InputError(
        f"location {location!r} is not one of the account's{did_you_mean(location, known)}. "
        f"Locations: {', '.join(sorted(known)) or 'none'}"
    )


#: What a location may say no with, where others say yes.
REFUSALS = (Refused, NotFound, InputError)


def _or_error(flow: Flow[T], kinds: type[LcnbError] | tuple[type[LcnbError], ...]) -> Flow[T | LcnbError]:
    try:
        return (yield from flow)
    except kinds as no:
        return no


# --- single things --------------------------------------------------------------------------------------


def instance(identifier: str) -> Flow[Mapping[str, Any]]:
    """The machine with this identifier."""
    return single(get_instance(identifier), "identifier", identifier)


def sshkey(slug: str) -> Flow[Mapping[str, Any]]:
    """The ssh key with this slug."""
    return single(get_sshkey(slug), "slug", slug)


def snapshot(slug: str) -> Flow[Mapping[str, Any]]:
    """The snapshot with this slug."""
    return single(get_snapshot(slug), "slug", slug)


def single(call: Call, key: str | None = None, wanted: str | None = None) -> Flow[Mapping[str, Any]]:
    """The one record of an answer; a list of one is taken too.

    The provider answers an unknown identifier with success and an empty record [cli]. So a record counts only when
    its field `key` is exactly what was `wanted`; otherwise it is NotFound, as an error of the provider would be.
    """
    envelope = yield call
    data = envelope.data
    if isinstance(data, list) and len(data) == 1:
        data = data[0]
    if not data:  # null, an empty object, list or text, false, 0
        raise _not_found(call, "the answer is empty: this account has nothing of that name")
    if not isinstance(data, Mapping):
        raise BadReply(
            f"{call.method} {call.path}: data should be an object, got {type(data).__name__}.",
            method=call.method,
            path=call.path,
        )
    data = _the_record(call, data)
    if key is not None and data.get(key) in (None, ""):
        raise _not_found(call, "the answer is empty: this account has nothing of that name")
    if key is not None and str(data[key]) != wanted:
        raise _not_found(call, f"the provider answered with another one, whose {key} is {str(data[key])!r}")
    return data


def _not_found(call: Call, problem: str) -> NotFound:
    text = f"{call.method} {call.path}: {problem}. Look at the listing."
    return NotFound(text, method=call.method, path=call.path)


def _the_record(call: Call, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record of a single thing, taken out of a wrapper. BadReply for an object that is none."""
    marks = MARKS[call.path.split("/")[1]]
    if _is_record(data, marks):
        return data
    inner = [each for each in data.values() if isinstance(each, Mapping) and _is_record(each, marks)]
    if len(inner) != 1:
        raise BadReply(
            f"{call.method} {call.path}: the shape of $.data is not understood: it is no record with "
            f"{' or '.join(marks)}.",
            method=call.method,
            path=call.path,
        )
    return inner[0]


# --- the inventory --------------------------------------------------------------------------------------


@dataclass
class InventoryParts:
    """What `inventory()` joins: machines, locations, the account's currency, plans where machines are."""

    instances: Listing
    locations: Listing
    profile: Mapping[str, Any]
    plans: Listing


def inventory(keep: Keep = fresh) -> Flow[InventoryParts]:
    machines, places, profile = yield Together([instances(), locations(keep), single(get_profile())])
    used = {_slug_of(record) for _, record in machines.records} - {None}
    known = [str(record["slug"]) for _, record in places.records if record.get("slug") in used]
    rest = sorted(str(slug) for slug in used if slug not in known)
    prices = yield from plans(among=[*known, *rest], keep=keep)
    return InventoryParts(machines, places, profile, prices)


def _slug_of(record: Mapping[str, Any]) -> str | None:
    location = record.get("location")
    slug = location.get("slug") if isinstance(location, Mapping) else location
    return slug if isinstance(slug, str) and slug.strip() else None
