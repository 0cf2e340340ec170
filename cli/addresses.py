"""HOST:PORT as people write it, as an option's type."""

from __future__ import annotations

from typing import Final

import click

#: Where a node listens unless it is told otherwise: every interface, and one port that a firewall
#: can be opened for. Not assigned to anybody.
PORT_DEFAULT: Final = 7340
LISTEN_DEFAULT: Final = f"0.0.0.0:{PORT_DEFAULT}"

Address = tuple[str, int]


class AddressType(click.ParamType[Address]):
    """HOST:PORT; brackets around an IPv6 host; a lone :PORT means every interface."""

    name = "HOST:PORT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        if isinstance(value, tuple):
            return value
        text = str(value)
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65_535:
            self.fail(f"{text!r} is not HOST:PORT, such as 0.0.0.0:{PORT_DEFAULT}", param, ctx)
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            self.fail(f"{text!r}: an IPv6 host stands in brackets, as in [::1]:{port}", param, ctx)
        return host or "0.0.0.0", int(port)  # noqa: S104 - asked for by leaving the host out


ADDRESS: Final = AddressType()
