"""Somebody who speaks to one host by hand: with any key, over any handshake, any bytes."""

from __future__ import annotations

from attrs import define, evolve

from capability.keys import SeedSigner
from capability.ticket import join_proof
from mesh.core.effects import Disconnect, Effect, Send
from mesh.core.inputs import LinkClosed, LinkOpened, Received
from mesh.gossip.messages import Goodbye, GoodbyeCode, Hello, Join, Message
from mesh.wire import Unknown, decode_message, encode_message
from tests.mesh.swarm.host import Host

HANDSHAKE = bytes(range(32))
#: Above every link of a world.
FIRST_LINK = 1_000_000


@define(eq=False)
class Caller:
    """The far end of one link, whose near end is *host*."""

    host: Host
    signer: SeedSigner
    link: int = FIRST_LINK

    def __attrs_post_init__(self) -> None:
        self.host.batch([LinkOpened(self.link, self.signer.public, False, None, HANDSHAKE)])

    def hello(self, join: Join | None = None, **changes: object) -> Hello:
        """A hello in order, but for *changes*."""
        auth_root, data_root = self.host.engine.replica.port.roots()
        hello = Hello(
            proto_min=1,
            proto_max=1,
            features=0,
            software="by hand",
            rules=1,
            auth_root=auth_root,
            data_root=data_root,
            your_heads=(None, None),
            addresses=(),
            region="",
            wall_ms=self.host.now.wall_ms,
            join=join,
        )
        return evolve(hello, **changes)

    def proof(self, key: SeedSigner, *, handshake_hash: bytes = HANDSHAKE) -> bytes:
        """A join proof by *key* for this caller."""
        return join_proof(
            key,
            mesh_id=self.host.engine.replica.mesh_id,
            handshake_hash=handshake_hash,
            node_key=self.signer.public,
        )

    def tell(self, *said: Message | bytes) -> list[Effect]:
        """Say these, each in a batch of its own: what came of them for this link."""
        found: list[Effect] = []
        for item in said:
            data = item if isinstance(item, bytes) else encode_message(item)
            self.host.batch([Received(self.link, data)])
            found += self.here()
        return found

    def here(self) -> list[Effect]:
        """The last batch's effects on this link."""
        return [
            effect
            for effect in self.host.effects
            if isinstance(effect, Send | Disconnect) and effect.link == self.link
        ]

    def answers(self, *said: Message | bytes) -> list[Message]:
        """The messages that came back."""
        sent = [effect for effect in self.tell(*said) if isinstance(effect, Send)]
        messages = [decode_message(effect.data, size_max=len(effect.data)) for effect in sent]
        return [message for message in messages if not isinstance(message, Unknown)]

    def refusal(self, *said: Message | bytes) -> tuple[GoodbyeCode, str]:
        """The goodbye that came back, after which the link was closed and nothing else was said."""
        match self.tell(*said):
            case [*_, Send(_, data), Disconnect(_, reason)]:
                goodbye = decode_message(data, size_max=len(data))
                assert isinstance(goodbye, Goodbye) and goodbye.text == reason
                return GoodbyeCode(goodbye.code), goodbye.text
            case effects:
                raise AssertionError(f"not refused: {effects}")

    @property
    def is_in(self) -> bool:
        """Whether the host talks to this caller."""
        state = self.host.engine.links.get(self.link)
        return state is not None and state.hello is not None

    def close(self) -> None:
        self.host.batch([LinkClosed(self.link, "gone")])
