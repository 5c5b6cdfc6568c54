"""Public is only what can lead nowhere inside, in every form that an address can take."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.addresses import is_public, parsed

_INSIDE = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.255.255"),  # noqa: S104
    *("192.0.0.8", "192.0.2.1", "192.168.0.1", "198.19.0.1", "224.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "3fff::1"),
    *("::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::"),
    *("2001:0:7f00:1::", "2001:20::1", "2600::5efe:10.0.0.1", "2600::200:5efe:10.0.0.1"),
    *("fe80::1%eth0", "2606:4700::1111%1", "100::1", "fec0::1", "::ffff:0:10.0.0.1"),
]
_OUTSIDE = ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
_ALL_V4 = st.integers(0, 2**32 - 1).map(IPv4Address)
_CARRIERS: dict[str, Callable[[int], IPv6Address]] = {
    "mapped": lambda number: IPv6Address((0xFFFF << 32) | number),
    "compatible": IPv6Address,
    "translated": lambda number: IPv6Address((0xFFFF << 48) | number),
    "NAT64": lambda number: IPv6Address((0x64FF9B << 96) | number),
    "6to4": lambda number: IPv6Address((0x2002 << 112) | (number << 80) | 0x1234),
    "Teredo server": lambda number: IPv6Address((0x20010000 << 96) | (number << 64) | 0xF7F7F7F7),
    "Teredo client": lambda number: IPv6Address(
        (0x20010000 << 96) | (0x08080808 << 64) | (number ^ 0xFFFFFFFF)
    ),
}


@pytest.mark.parametrize("text", _INSIDE)
def test_inside(text: str) -> None:
    """A merchant's webhook would reach the service's own database or a cloud's credentials."""
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", _OUTSIDE)
def test_outside(text: str) -> None:
    """No merchant could be called at all."""
    assert is_public(ip_address(text))


@given(_ALL_V4)
def test_no_ipv4_is_public_that_python_calls_private(address: IPv4Address) -> None:
    """A range that was forgotten in our own list would be open."""
    if address.is_private or address.is_multicast or address.is_reserved or address.is_loopback:
        # Python calls 192.0.0.0/24 and 100.64.0.0/10 by other names; ours are closed too.
        assert not is_public(address)


@pytest.mark.parametrize("name", _CARRIERS)
@given(number=st.integers(0, 2**32 - 1))
def test_a_carrier_is_as_public_as_what_it_carries(name: str, number: int) -> None:
    """A private address would come through inside an IPv6 one."""
    carried = IPv4Address(number)
    if not is_public(carried):
        assert not is_public(_CARRIERS[name](number))


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_no_ipv6_outside_global_unicast_is_public(address: IPv6Address) -> None:
    """A form of address that is invented tomorrow would be open from the start."""
    known = ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "2000::/3")
    if is_public(address):
        assert any(address in IPv6Network(text) for text in known)


@pytest.mark.parametrize("text", ["127.1", "2130706433", "0x7f000001", "017700000001", "", "a"])
def test_other_spellings_are_no_addresses(text: str) -> None:
    """A resolver takes them for 127.0.0.1; they must be refused as names are judged."""
    assert parsed(text) is None
