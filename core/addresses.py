"""Which addresses of the Internet are public, whatever form they are written or wrapped in.

An IPv6 address may carry an IPv4 one (RFC 4291, 6052, 3056, 4380, 5214): both must be public.
May import the standard library alone.
"""

import ipaddress
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

# IANA's special-purpose registry, multicast, and what is reserved for the future.
_CLOSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
# Nothing is public outside 2000::/3 but what only carries an IPv4 address.
_OPEN_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20", "2620:4f:8000::/48")
)
_LAST_32 = tuple(
    IPv6Network(text)
    for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")  # the carriers
)
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
_32_BITS = 0xFFFFFFFF


def is_public(address: Address) -> bool:
    """Tell whether a packet to this address can only leave for the public Internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    if address.scope_id is not None:
        return False
    carried = list(_carried(address))
    if not all(is_public(one) for one in carried):
        return False
    if any(address in network for network in (*_LAST_32, _SIX_TO_FOUR, _TEREDO)):
        return True
    return address in _OPEN_V6 and not any(address in network for network in _CLOSED_V6)


def parsed(text: str) -> Address | None:
    """Return the address that a text is in its one usual spelling, or None."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _carried(address: IPv6Address) -> Iterator[IPv4Address]:
    """Yield every IPv4 address that a router or a host might take out of this one."""
    number = int(address)
    if any(address in network for network in _LAST_32):
        yield IPv4Address(number & _32_BITS)
    if address in _SIX_TO_FOUR:
        yield IPv4Address(number >> 80 & _32_BITS)
    if address in _TEREDO:
        yield IPv4Address(number >> 64 & _32_BITS)
        yield IPv4Address(number & _32_BITS ^ _32_BITS)
    if number >> 32 & _32_BITS in _ISATAP:
        yield IPv4Address(number & _32_BITS)
