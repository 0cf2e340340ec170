"""Two or three hosts in a world, driven by hypothesis, with every checker watching every step."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from mesh.core.inputs import EVENTUAL, LOCAL, SyncNow
from simulations.checkers import CHECKERS
from simulations.host import Host
from simulations.run import recover
from simulations.workload import Load, Workload
from simulations.world import World
from simulations.writes import KINDS, LOCAL_KINDS

HOSTS = st.integers(0, 2)


class Histories(RuleBasedStateMachine):
    """Acts one by one, so that a history that breaks a promise is made small."""

    @initialize(seed=st.integers(0, 1 << 20), hosts=st.integers(2, 3), forks=st.booleans())
    def begin(self, seed: int, hosts: int, forks: bool) -> None:
        self.world = World(seed=seed)
        for make in CHECKERS.values():
            self.world.watch.add(make(self.world))
        self.world.spawn(hosts)
        self.world.run(until_s=3)
        self.workload = Workload(self.world, Load(0, 0, forks=forks))
        self.workload.start()

    def host(self, number: int) -> Host:
        return self.world.hosts[number % len(self.world.hosts)]

    @rule(number=HOSTS, kind=st.sampled_from(KINDS))
    def write(self, number: int, kind: str) -> None:
        if self.host(number).is_up:
            self.workload.submit(self.host(number), EVENTUAL, kind)

    @rule(number=HOSTS, kind=st.sampled_from(LOCAL_KINDS), times=st.integers(1, 5))
    def write_locally(self, number: int, kind: str, times: int) -> None:
        for _ in range(times if self.host(number).is_up else 0):
            self.workload.submit(self.host(number), LOCAL, kind)

    @rule(ms=st.sampled_from((0.1, 0.4, 1, 30, 300, 3_000, 20_000)))
    def wait(self, ms: float) -> None:
        self.world.run(until_s=self.world.now_s + ms / 1000)

    @rule(one=HOSTS, two=HOSTS)
    def cut(self, one: int, two: int) -> None:
        pair = self.host(one).number, self.host(two).number
        if pair[0] != pair[1]:
            self.world.cut([pair])

    @rule()
    def mend(self) -> None:
        self.world.network.weather.clear()
        self.world.network.paths_changed()

    @rule(number=HOSTS, is_power_loss=st.booleans())
    def kill(self, number: int, is_power_loss: bool) -> None:
        self.host(number).die(is_power_loss=is_power_loss)

    @rule(number=HOSTS)
    def restart(self, number: int) -> None:
        if not self.host(number).is_up:
            self.host(number).start()

    @rule(number=HOSTS)
    def pause(self, number: int) -> None:
        if self.host(number).is_up:
            self.host(number).pause()

    @rule(number=HOSTS)
    def resume(self, number: int) -> None:
        if self.host(number).is_paused:
            self.host(number).resume()

    @rule(number=HOSTS)
    def sync(self, number: int) -> None:
        self.host(number).put(SyncNow(self.host(number).next_request()))

    @rule(number=HOSTS)
    def fill_the_disk(self, number: int) -> None:
        self.host(number).disk.fillings = 1

    @rule(number=HOSTS)
    def make_room(self, number: int) -> None:
        self.host(number).disk.mend()

    @rule(number=HOSTS, by_ms=st.sampled_from((-5_000, -50, 50, 5_000)))
    def set_the_clock(self, number: int, by_ms: int) -> None:
        self.host(number).clock.step(by_ms, self.world.now_us)
        self.host(number).clock_changed()

    def teardown(self) -> None:
        if hasattr(self, "workload"):
            self.workload.stop()
            recover(self.world)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=30)
