"""One grammar for the methods of all families, and every mistake in it in one sentence."""

import json
import re
from dataclasses import FrozenInstanceError, dataclass
from importlib.metadata import EntryPoint
from typing import Any, Literal

import numpy as np
import pytest

from trl_curriculum import CURRICULA, Pool
from trl_curriculum.curricula import SEC, Curriculum, CurriculumMethod, Uniform
from trl_curriculum.disk.state import StateError
from trl_curriculum.registry import Method, Registry, make_options, option


POOL = Pool(4, [0, 0, 1, 1], ["a", "b"])


@dataclass(frozen=True)
class Tool(Method):
    """A method of no family of the package. More is said below."""


TOOLS: Registry[Tool] = Registry("tool", Tool, "tests.tools")


@TOOLS.add("saw", paper="by hand")
@dataclass(frozen=True)
class Saw(Tool):
    """Cuts. And more."""

    teeth: int = option(help="How many.", least=1)
    angle: float = option(0.5, "Of each.", "the paper's", above=0, below=1)
    kind: Literal["rip", "cross", 3] = option("rip", "For which grain.")
    name_of: str | None = option(None, "Name.")
    widths: list[float] = option((1.0,), "Of the cuts.")
    extra: dict[str, int] | None = option(None, "More.")
    oiled: bool = option(True, "Whether it is oiled.")


@TOOLS.add("hammer")
@dataclass(frozen=True)
class Hammer(Tool):
    weight: float = option(2.0, "In kg.", most=9)

    def check(self) -> None:
        if self.weight == 5:
            raise ValueError("A hammer of 5 kg is none.")


class TestGrammar:
    def test_a_name_a_mapping_json_a_class_or_an_object(self) -> None:
        expected = Hammer(3.0)
        for spec in (
            {"hammer": {"weight": 3.0}},
            '{"hammer": {"weight": 3.0}}',
            '  {"hammer": {"weight": 3.0}}\n',
            expected,
            Hammer(3),
        ):
            assert TOOLS.make(spec) == expected
        assert TOOLS.make(expected) is expected
        for spec in ("hammer", {"hammer": {}}, {"hammer": None}, Hammer, '{"hammer": null}'):
            assert TOOLS.make(spec) == Hammer()

    def test_none_is_no_method_where_there_may_be_several(self) -> None:
        for spec in (None, "none", ["none"], [], ()):
            assert TOOLS.make_all(spec) == ()
        assert TOOLS.make_all("hammer") == TOOLS.make_all(["hammer"]) == (Hammer(),)
        both = TOOLS.make_all(["hammer", {"saw": {"teeth": 2}}])
        assert both == (Hammer(), Saw(2))
        with pytest.raises(ValueError, match=r"Unknown tool 'none': choose one of saw, hammer\."):
            TOOLS.make_all(["hammer", "none"])

    def test_defaults_are_set_where_the_method_has_the_option_and_the_spec_is_silent(self) -> None:
        assert TOOLS.make("saw", teeth=4, weight=1.0) == Saw(4)
        assert TOOLS.make({"saw": {"teeth": 2}}, teeth=4) == Saw(2)
        assert TOOLS.make(Saw(2), teeth=4) == Saw(2)

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            ("hamer", r"Unknown tool 'hamer' \(did you mean 'hammer'\?\): choose one of saw, hammer\."),
            ("xyz", r"Unknown tool 'xyz': choose one of saw, hammer\."),
            (
                {"hammer": {"wieght": 1}},
                r"Tool 'hammer' has no option 'wieght' \(did you mean 'weight'\?\): it has weight\.",
            ),
            ({"hammer": {"name": "x"}}, "Tool 'hammer' has no option 'name': it has weight"),
            ("saw", r"Tool 'saw' needs the option 'teeth'\."),
            (Saw, r"Tool 'saw' needs the option 'teeth'\."),
            ('{"hammer": {"weight": 1, "weight": 2}}', "The option 'weight' is given twice: leave one out"),
            ('{"hammer": {}, "hammer": {}}', "'hammer' is given twice"),
            ('{"hammer": ', r"The tool '\{\"hammer\": ' is no JSON"),
            (
                '["hammer"]',
                r"The tool '\[\"hammer\"\]' is a list in one text: on the command line give its entries one",
            ),
            ({}, "The tool {} is not a name, or"),
            ({"hammer": {}, "saw": {}}, "is not a name, or {name: {option: value}}"),
            ({"hammer": 3}, "is not a name, or"),
            ({"hammer": ["weight"]}, "is not a name, or"),
            ({3: {}}, "is not a name, or"),
            (3, "The tool 3 is not a name, or"),
            (None, "The tool None is not a name, or"),
            (["hammer"], "is not a name, or"),
            (dict, "is not a name, or"),
            (SEC, "is not a name, or"),
            (SEC(), "is not a name, or"),
            ({"hammer": {"weight": "3"}}, r"weight='3' of hammer must be float, at most 9\."),
            ({"hammer": {"weight": True}}, r"weight=True of hammer must be float, at most 9\."),
            ({"hammer": {"weight": None}}, r"weight=None of hammer must be float, at most 9\."),
            ({"hammer": {"weight": float("nan")}}, "weight=nan of hammer is not a number"),
            ({"hammer": {"weight": np.float32("nan")}}, "of hammer is not a number"),
            ({"hammer": {"weight": float("-inf")}}, r"weight=-inf of hammer must be at most 9 and finite\."),
            ({"hammer": {"weight": 9.5}}, r"weight=9\.5 of hammer must be at most 9\."),
            ('{"hammer": {"weight": NaN}}', "weight=nan of hammer is not a number"),
            ('{"hammer": {"weight": Infinity}}', "weight=inf of hammer must be at most 9"),
            ({"hammer": {"weight": 5}}, "A hammer of 5 kg is none"),
            ({"saw": {"teeth": 0}}, r"teeth=0 of saw must be at least 1\."),
            ({"saw": {"teeth": 2.0}}, r"teeth=2\.0 of saw must be int, at least 1\."),
            ({"saw": {"teeth": True}}, "teeth=True of saw must be int"),
            ({"saw": {"teeth": 1, "angle": 0}}, "angle=0 of saw must be above 0 and below 1"),
            ({"saw": {"teeth": 1, "angle": 1.0}}, r"angle=1\.0 of saw must be above 0 and below 1"),
            ({"saw": {"teeth": 1, "kind": "rpi"}}, "kind='rpi' of saw must be one of 'rip', 'cross', 3"),
            ({"saw": {"teeth": 1, "kind": 3.0}}, r"kind=3\.0 of saw must be one of"),
            ({"saw": {"teeth": 1, "name_of": 3}}, "name_of=3 of saw must be str or None"),
            ({"saw": {"teeth": 1, "widths": ["a"]}}, r"widths=\['a'\] of saw must be list\[float\]"),
            ({"saw": {"teeth": 1, "widths": 3.0}}, r"widths=3\.0 of saw must be list\[float\]"),
            ({"saw": {"teeth": 1, "widths": "3"}}, "widths='3' of saw must be list"),
            ({"saw": {"teeth": 1, "extra": {"x": 1.5}}}, r"of saw must be dict\[str, int\] or None"),
            ({"saw": {"teeth": 1, "extra": {1: 1}}}, "of saw must be dict"),
            ({"saw": {"teeth": 1, "oiled": 1}}, "oiled=1 of saw must be bool"),
        ],
        ids=repr,
    )
    def test_a_mistake_is_one_sentence(self, spec: Any, words: str) -> None:
        with pytest.raises((ValueError, TypeError)) as error:
            TOOLS.make(spec)
        assert re.search(words, str(error.value)), str(error.value)
        assert "\n" not in str(error.value) and error.value.__cause__.__class__ in (type(None), json.JSONDecodeError)

    def test_infinity_is_no_number_of_anything(self) -> None:
        with pytest.raises(ValueError, match="tau=inf of sec must be above 0"):
            SEC(tau=float("inf"))
        with pytest.raises(ValueError, match="alpha=nan of sec is not a number"):
            SEC(alpha=float("nan"))

    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("sce", {}, "Unknown curriculum 'sce' .did you mean 'sec'.*: choose one of .*mixture, .*sec"),
            (
                "sec",
                {"tua": 0.2},
                "Curriculum 'sec' has no option 'tua' .did you mean 'tau'.*: it has outcome, prior, ",
            ),
            ("uniform", {"tau": 0.2}, "Curriculum 'uniform' has no option 'tau': it has none."),
            ("sec", {"tau": "low"}, "tau='low' of sec must be float."),
            ("sec", {"unsampled": "drop"}, "must be one of 'keep', 'decay'"),
            ("sec", {"tau": 0.0}, "tau=0.0 of sec must be above 0"),
            ("sec", {"alpha": 1.5}, "alpha=1.5 of sec must be above 0 and at most 1|at most 1"),
            ("sec", {"success_bins": 5}, "has no option 'success_bins'"),
            ("sec", {"learn_from": "success"}, "has no option 'learn_from'"),
            ("dump", {"window": 0}, "window=0 of dump must be at least 1"),
            ("order", {"mode": "random"}, "must be one of 'easy_to_hard'"),
            ("order", {"total_draws": 0, "mode": "blocked"}, "total_draws=0 of order must be at least 1"),
            ("order", {"difficulty": "guess"}, "must be one of 'column', 'probe'"),
            ("baby_steps", {"stages": 0}, "stages=0 of baby_steps must be at least 1"),
            ("competence", {"initial": 0.0}, "initial=0.0 of competence must be above 0"),
            ("competence", {"duration": 1.5}, "duration=1.5 of competence must be .*at most 1"),
            ("self_paced", {"start": 2.0}, "start=2.0 of self_paced must be .*at most 1"),
            ("self_paced", {"measure": "paid"}, "must be one of 'free', 'probe'"),
            ("loss_top_k", {"share": 0.0}, "share=0.0 of loss_top_k must be above 0"),
            ("loss_top_k", {"refresh_steps": 0}, "refresh_steps=0 of loss_top_k must be at least 1"),
            ("data_maps", {"observations": 3}, "Curriculum 'data_maps' has no option 'observations'"),
            ("cyclical", {"start": 0.8, "end": 0.5}, "start=0.8 is a larger part of the pool than end=0.5"),
            ("cyclical", {"alpha": 1.0}, "alpha=1.0 of cyclical must be above 0 and below 1"),
            ("cyclical", {"refresh_steps": 3}, "Curriculum 'cyclical' has no option 'refresh_steps'"),
            ("evo_curate", {"kappa": 0.0}, "kappa=0.0 of evo_curate must be above 0"),
            ("evo_curate", {"fusion": "rank"}, "Curriculum 'evo_curate' has no option 'fusion'"),
            ("evo_curate", {"capacity": "schedule"}, "Curriculum 'evo_curate' has no option 'capacity'"),
            ("edco", {"skip_top": 0.1}, "Curriculum 'edco' has no option 'skip_top'"),
            ("edco", {"budget": 0.1}, "Curriculum 'edco' has no option 'budget'"),
            ("ucb1", {"c": 0.5}, "Curriculum 'ucb1' has no option 'c'"),
        ],
    )
    def test_mistakes_in_curricula(self, name: str, options: dict[str, Any], words: str) -> None:
        with pytest.raises((ValueError, TypeError)) as error:
            CURRICULA.make({name: options})
        assert re.search(words, str(error.value)), str(error.value)

    def test_what_a_pool_lacks_is_found_when_it_is_bound(self) -> None:
        for name, words in (
            ("baby_steps", "Curriculum 'baby_steps' sorts by difficulty: set difficulty_column"),
            ({"mixture": {"weights": {"a": 1}}}, "weights lacks the arm 'b'"),
        ):
            with pytest.raises(ValueError, match=words):
                CURRICULA.make(name).bind(POOL)


class TestValues:
    def test_numpy_numbers_are_numbers_and_a_spec_is_plain(self) -> None:
        sec = CURRICULA.make({"sec": {"tau": np.float32(0.5)}})
        assert sec == SEC(tau=0.5) and sec.spec == {"sec": {"tau": 0.5}}
        assert type(sec.spec["sec"]["tau"]) is float  # type: ignore[index]
        saw = Saw(np.int64(3), widths=(1, 2.5), extra={"x": 1})
        assert json.loads(json.dumps(saw.spec)) == {"saw": {"teeth": 3, "widths": [1, 2.5], "extra": {"x": 1}}}
        assert TOOLS.make(saw.spec).options | {"widths": [*saw.widths]} == saw.options | {"widths": [*saw.widths]}

    def test_a_spec_leaves_defaults_out_and_a_method_has_all_options(self) -> None:
        assert Hammer().spec == "hammer" and Hammer(3).spec == {"hammer": {"weight": 3}}
        assert Hammer().options == {"weight": 2.0} and Saw(1).options["angle"] == 0.5

    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(FrozenInstanceError):
            Hammer().weight = 3  # type: ignore[misc]

    def test_its_first_sentence_and_its_facts(self) -> None:
        assert Tool.summary() == "A method of no family of the package. More is said below."
        assert Saw.paper == "by hand" and Saw.name == "saw" and Hammer.paper == "-"

    def test_two_methods_of_one_name_are_refused(self) -> None:
        with pytest.raises(ValueError, match="Two tool methods are called 'saw'"):

            @TOOLS.add("saw")
            @dataclass(frozen=True)
            class Other(Tool):
                pass

    def test_options_of_what_is_no_method(self) -> None:
        @dataclass
        class Settings:
            size: int = 1

        assert make_options(Settings, {"size": 2}, "settings").size == 2
        with pytest.raises(ValueError, match=r"settings has no option 'sise' \(did you mean 'size'\?\): it has size"):
            make_options(Settings, {"sise": 2}, "settings")
        with pytest.raises(TypeError, match="size='2' in settings must be int"):
            make_options(Settings, {"size": "2"}, "settings")


class TestPlugIns:
    @pytest.fixture
    def tools(self, monkeypatch: pytest.MonkeyPatch) -> Registry[Tool]:
        entries = [
            EntryPoint("plane", "plug_in_of_this_test:Plane", "tests.tools"),
            EntryPoint("drill", "plug_in_of_this_test:Drill", "tests.tools"),
            EntryPoint("saw", "plug_in_of_this_test:Plane", "tests.tools"),
        ]
        monkeypatch.setattr(TOOLS, "_entries", lambda: entries)
        return TOOLS

    def module(self, monkeypatch: pytest.MonkeyPatch, **contents: Any) -> None:
        import sys
        import types

        made = types.ModuleType("plug_in_of_this_test")
        vars(made).update(contents)
        monkeypatch.setitem(sys.modules, "plug_in_of_this_test", made)

    def test_one_that_does_not_load_fails_by_name_and_hinders_no_other(self, tools: Registry[Tool]) -> None:
        words = r"The plug-in tool 'plane' \(plug_in_of_this_test:Plane\) does not load: ModuleNotFoundError: "
        with pytest.raises(ImportError, match=words):
            tools.make("plane")
        with pytest.raises(ImportError, match=words):
            tools.all()
        assert tools.make("hammer") == Hammer()
        with pytest.raises(
            ValueError, match=r"Unknown tool 'plan' \(did you mean 'plane'\?\): .* saw, hammer, plane, drill"
        ):
            tools.make("plan")

    def test_one_of_another_class_is_refused(self, tools: Registry[Tool], monkeypatch: pytest.MonkeyPatch) -> None:
        for wrong in (dict, 3, SEC, Hammer()):
            self.module(monkeypatch, Plane=wrong)
            with pytest.raises(TypeError, match=r"The plug-in tool 'plane' .* is no Tool class\."):
                tools.make("plane")

    def test_it_is_called_by_its_entry_point_and_built_in_ones_come_first(
        self, tools: Registry[Tool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        @dataclass(frozen=True)
        class Plane(Tool):
            depth: int = option(1, "In mm.", least=1)

        self.module(monkeypatch, Plane=Plane, Drill=Plane)
        assert tools.make({"plane": {"depth": 2}}) == Plane(2) and Plane(2).spec == {"plane": {"depth": 2}}
        assert tools.names() == ["saw", "hammer", "plane", "drill"] and tools.all()["saw"] is Saw
        with pytest.raises(ValueError, match="depth=0 of plane must be at least 1"):
            tools.make({"plane": {"depth": 0}})


class TestCurricula:
    def test_a_class_without_a_name_is_called_by_its_own(self) -> None:
        @dataclass(frozen=True)
        class Mine(CurriculumMethod):
            pass

        class MineCurriculum(Curriculum, of=Mine):
            def _pick(self, n: int) -> Any:
                return np.zeros(n, int), np.zeros(n, int), np.full(n, np.nan)

        mine = CURRICULA.make(Mine).bind(POOL)
        assert mine.name == "mine" and type(mine) is MineCurriculum
        with pytest.raises(StateError, match="made with curriculum 'uniform', but this run uses 'mine'"):
            mine.load_state_dict(Uniform().bind(POOL).state_dict())

    def test_a_class_that_is_half_written_fails_in_one_sentence(self) -> None:
        class Undecorated(CurriculumMethod):
            width: int = option(3, "Of it.")

        @dataclass(frozen=True)
        class Unbound(CurriculumMethod):
            pass

        with pytest.raises(TypeError, match="Undecorated declares the option 'width' and is no @dataclass"):
            Undecorated()
        with pytest.raises(
            TypeError, match=r"Unbound is bound to no curriculum: write `class Mine\(Curriculum, of=Unb"
        ):
            Unbound().bind(POOL)

    def test_every_option_says_what_it_does(self) -> None:
        import dataclasses

        for name, cls in CURRICULA.built_in.items():
            for field in dataclasses.fields(cls):
                assert field.metadata["help"].endswith(".") or ";" in field.metadata["help"], f"{name}: {field.name}"
                assert field.metadata["source"], f"{name}: {field.name}"
            assert cls.name == name and cls.summary().endswith(".")
