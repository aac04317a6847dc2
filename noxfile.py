"""One command for each habit of the project: `nox -s tests`, `nox -s lint`, ... (`nox -l` lists them all)."""

import filecmp
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests", "native", "stubs", "examples"]

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
WHEELS = Path("build/wheel")


def tools(*names: str) -> list[str]:
    """The requirements of the extra `dev` that begin with one of `names`: their versions stand in one place."""
    return [requirement for requirement in EXTRAS["dev"] if requirement.startswith(names)]


def install(session: nox.Session, extra: str, *requirements: str) -> None:
    """Install the wheel that the session `wheel` has made, with `extra`."""
    (built,) = WHEELS.glob("*.whl")
    session.install(f"{built}[{extra}]", *requirements)


@nox.session
def wheel(session: nox.Session) -> None:
    """Compile the wheel that the other sessions install, once for all sessions of a run."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    session.run("pip", "wheel", "--no-deps", "--wheel-dir", str(WHEELS), ".")


@nox.session(requires=["wheel"])
def tests(session: nox.Session) -> None:
    """The test suite; arguments after -- go to pytest."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session(reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Style of Python and C++; `-- --fix` mends what a tool can mend."""
    session.install(*tools("ruff", "clang-format"))
    fix = "--fix" in session.posargs
    sources = sorted(str(path) for path in Path("csrc").rglob("*.*") if path.suffix in {".h", ".cpp"})
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")
    session.run("clang-format", *(["-i"] if fix else ["--dry-run", "-Werror"]), *sources)


@nox.session(reuse_venv=True)
def types(session: nox.Session) -> None:
    """mypy --strict on the package."""
    session.install(*PROJECT["dependencies"], *EXTRAS["data"], *EXTRAS["plot"], *tools("mypy", "types-"))
    session.run("mypy")


def build_core(session: nox.Session, preset: str) -> None:
    """Configure and compile the core without Python by a preset of CMakePresets.json, and run its tests.

    Those that take minutes are left out; `-- -L slow` runs them.
    """
    session.install("cmake", "ninja")
    session.run("cmake", "--preset", preset, "-GNinja", "--fresh")
    session.run("cmake", "--build", "--preset", preset)
    session.run(
        "ctest", "--preset", preset, "--output-on-failure", "--no-tests=error", *(session.posargs or ["-LE", "slow"])
    )


@nox.session(reuse_venv=True)
def native(session: nox.Session) -> None:
    """The core without Python builds without a warning, links, and passes its own tests."""
    build_core(session, "development")


@nox.session(reuse_venv=True)
def sanitize(session: nox.Session) -> None:
    """The same under the address and undefined behaviour sanitizers; slow."""
    build_core(session, "sanitize")


@nox.session(requires=["wheel"])
def stubs(session: nox.Session) -> None:
    """Compare fastnn/_core.pyi with what the compiled module offers; `-- --fix` writes it."""
    install(session, "test", *tools("pybind11-stubgen", "ruff"))
    folder = session.create_tmp()
    session.run("pybind11-stubgen", "fastnn._core", "--numpy-array-use-type-var", "--exit-code", "-o", folder)
    fresh, committed = Path(folder, "fastnn", "_core.pyi"), Path("fastnn", "_core.pyi")
    session.run("ruff", "format", "--config", "pyproject.toml", str(fresh))
    if "--fix" in session.posargs:
        shutil.copyfile(fresh, committed)
    elif not filecmp.cmp(fresh, committed, shallow=False):
        session.run("diff", "-u", str(committed), str(fresh), external=True, success_codes=[0, 1])
        session.error("fastnn/_core.pyi is not what the module offers: run `nox -s stubs -- --fix`")


@nox.session(requires=["wheel"])
def examples(session: nox.Session) -> None:
    """Every example, on Fashion-MNIST too where it can be had."""
    install(session, "test")
    session.run("fastnn", "data", "fetch", "fashion-mnist", success_codes=[0, 1])
    session.run("pytest", "tests/test_examples.py")


@nox.session(requires=["wheel"])
def faults(session: nox.Session) -> None:
    """Campaigns that take minutes: `-- arguments` (malformed ones of native entry points), `-- kills`; and options."""
    install(session, "test")
    campaign, *options = session.posargs or ["arguments"]
    # -P: the package that is installed, not the sources in this folder
    session.run("python", "-P", "-m", f"faults.{campaign}", *options, env={"PYTHONPATH": "tests"})


@nox.session
def bench(session: nox.Session) -> None:
    """Speed beside the peers: `-- kernels`, `-- train` or `-- process`, and their options."""
    session.install("-e", ".[bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)
