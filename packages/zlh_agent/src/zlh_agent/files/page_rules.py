"""In which order a folder is listed, and where in it a page begins. Both sides of the child know it."""

from __future__ import annotations

from zlh_agent.files.model import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zlh_agent.files.model import Entry

NAME, SIZE, MODIFIED = "name", "size", "modified"
SORTS = (NAME, SIZE, MODIFIED)


class Order:
    """Names in the order of their code points break a tie; `hidden` tells whether names that begin with a dot count."""

    __slots__ = ("descending", "folders_first", "hidden", "sort")

    def __init__(
        self, sort: str = NAME, *, descending: bool = False, folders_first: bool = False, hidden: bool = True
    ) -> None:
        if sort not in SORTS:
            raise ValueError(f"{sort} is no order of a folder")
        self.sort = sort
        self.descending = descending
        self.folders_first = folders_first
        self.hidden = hidden

    @property
    def is_by_name(self) -> bool:
        """Tell whether nothing has to be asked of a file but its name."""
        return self.sort == NAME

    @property
    def backwards(self) -> bool:
        """Tell whether names run from the last to the first; where they break a tie they never do."""
        return self.is_by_name and self.descending


class Place:
    """Where in an order something stands: folders and the rest, then its value, then its name."""

    __slots__ = ("name", "rank", "value")

    def __init__(self, rank: int, value: int, name: str) -> None:
        self.rank = rank
        self.value = value
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # a value that nobody keeps in a set

    def __repr__(self) -> str:
        return f"Place({self.rank}, {self.value}, {self.name!r})"


def place_of(order: Order, entry: Entry) -> Place:
    """Return where an entry stands."""
    return Place(
        rank_of(order, is_folder=entry.kind == FOLDER), value_of(order, entry.size, entry.modified_ns), entry.name
    )


def rank_of(order: Order, *, is_folder: bool) -> int:
    """Return 0 for what comes before everything of 1."""
    return int(order.folders_first and not is_folder)


def value_of(order: Order, size: int, modified_ns: int) -> int:
    """Return by what is sorted before the name, from the lowest on."""
    value = 0 if order.is_by_name else size if order.sort == SIZE else modified_ns
    return -value if order.descending else value


def is_after(order: Order, place: Place, other: Place) -> bool:
    """Tell whether one place truly comes after another."""
    if (place.rank, place.value) != (other.rank, other.value):
        return (place.rank, place.value) > (other.rank, other.value)
    return place.name < other.name if order.backwards else place.name > other.name


def render_asked(order: Order, after: Place | None) -> list[bytes]:
    """Return what a request says of the order and of the place that a page begins after."""
    flags = [order.descending, order.folders_first, order.hidden, after is not None]
    place = after or Place(0, 0, "")
    asked = [order.sort, "".join("y" if flag else "n" for flag in flags), str(place.rank), str(place.value)]
    return [*(word.encode() for word in asked), place.name.encode("utf-8", "surrogateescape")]


def parse_asked(words: tuple[bytes, ...]) -> tuple[Order, Place | None]:
    """Return what `render_asked` wrote; raise ValueError where it did not."""
    sort, flags, rank, value, name = words
    descending, folders_first, hidden, is_later = (flag == ord("y") for flag in flags)
    order = Order(sort.decode(), descending=descending, folders_first=folders_first, hidden=hidden)
    place = Place(int(rank), int(value), name.decode("utf-8", "surrogateescape"))
    return order, place if is_later else None
