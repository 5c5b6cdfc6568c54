"""HTML in which every text is escaped, unless it was made here; standard library alone."""

from html import escape


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str) -> Html:
    """Return an element; an attribute's `_` stands for `-`, and `class_` for `class`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    return Html(f"<{name}{given}>{joined(*children)}</{name}>")


def empty(name: str, /, **attributes: str) -> Html:
    """Return an element that can hold nothing."""
    return Html(tag(name, **attributes).removesuffix(f"</{name}>"))


def joined(*children: str) -> Html:
    """Return children one after the other, plain text among them escaped."""
    return Html("".join(one if isinstance(one, Html) else escape(one) for one in children))


def table(caption: str, columns: list[str], rows: list[list[str]]) -> Html:
    """Return a table whose first column names the rows; figures stand to the right."""
    head = tag("tr", *(tag("th", name, scope="col") for name in columns))
    body = (
        tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]))
        for row in rows
    )
    return tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
