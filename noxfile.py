"""One command for each habit of the project: `nox -s tests`, `nox -s lint`, ... (`nox -l` lists them all)."""

import filecmp
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "venv"
nox.options.sessions = [
    "lint", "types", "tests", "native", "emulated", "cuda", "instructions", "stubs", "examples", "docs",
]  # fmt: skip

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
WHEELS = Path("build/wheel")
# Those that call native code in many ways.
NATIVE_TESTS = [
    f"tests/{name}"
    for name in (
        "kernels", "devices", "faults", "data", "test_autograd.py", "test_engine.py", "test_execution.py",
        "test_functional.py", "test_models.py", "test_processes.py", "test_program.py", "test_program_layers.py",
        "test_tensor.py", "test_tensor_views.py", "test_trainer.py", "test_trainer_errors.py",
    )
]  # fmt: skip


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
    files = [*Path("csrc").rglob("*.*"), *Path("tests/native").rglob("*.*")]
    sources = sorted(str(path) for path in files if path.suffix in {".h", ".cpp", ".cu"})
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")
    session.run("clang-format", *(["-i"] if fix else ["--dry-run", "-Werror"]), *sources)


@nox.session(reuse_venv=True)
def types(session: nox.Session) -> None:
    """mypy --strict on the package."""
    session.install(*PROJECT["dependencies"], *EXTRAS["data"], *EXTRAS["plot"], *tools("mypy", "types-"))
    session.run("mypy")


def build_core(session: nox.Session, preset: str, *targets: str) -> None:
    """Configure and compile the core without Python, by a preset of CMakePresets.json."""
    session.install("cmake", "ninja")
    session.run("cmake", "--preset", preset, "-GNinja", "--fresh")
    session.run("cmake", "--build", "--preset", preset, "--target", *(targets or ["all"]))


def test_core(session: nox.Session, preset: str) -> None:
    """The core without Python and its tests; those that take minutes are left out, `-- -L slow` runs them."""
    build_core(session, preset)
    session.run(
        "ctest", "--preset", preset, "--output-on-failure", "--no-tests=error", *(session.posargs or ["-LE", "slow"])
    )


@nox.session(reuse_venv=True)
def native(session: nox.Session) -> None:
    """The core without Python builds without a warning, links, and passes its own tests."""
    test_core(session, "development")


@nox.session(requires=["wheel"])
def emulated(session: nox.Session) -> None:
    """Tests of devices on the kernels for CUDA, emulated on a CPU of x86-64."""
    build_core(session, "development", "cuda_emulated", "cublaslt")
    install(session, "test")
    library = Path("build/development/tests/native/cuda/libcuda_emulated.so").resolve()
    session.run("pytest", "tests/devices", env={"FASTNN_TEST_DEVICE": str(library)})


@nox.session(reuse_venv=True)
def sanitize(session: nox.Session) -> None:
    """The same under the address and undefined behaviour sanitizers, and under the thread sanitizer; slow."""
    test_core(session, "sanitize")
    test_core(session, "sanitize-threads")


@nox.session
@nox.parametrize("sanitizer", [nox.param("address,undefined", id="address"), nox.param("thread", id="thread")])
def sanitize_module(session: nox.Session, sanitizer: str) -> None:
    """The Python module under a sanitizer: the tests that concern native code, or what stands after `--`; slow.

    `sanitize_module(address) -- python -m faults.calls` makes random calls.
    """
    library = {"address,undefined": "libasan.so", "thread": "libtsan.so"}[sanitizer]
    settings = [f"cmake.define.FASTNN_SANITIZE={sanitizer}", "cmake.build-type=RelWithDebInfo"]
    settings += [f"build-dir=build/sanitize-{Path(library).stem}"]
    session.install(".[test]", *(f"-C{setting}" for setting in settings))
    # The C++ library too: an exception would end the process where the sanitizer has not found it at the start.
    preloaded = [
        session.run("g++", f"-print-file-name={name}", external=True, silent=True) for name in (library, "libstdc++.so")
    ]
    environment = {
        "LD_PRELOAD": " ".join(str(path).strip() for path in preloaded),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",  # Python frees not all at its end
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "die_after_fork=0:allocator_may_return_null=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(Path("tests").absolute()),
        "PYTHONSAFEPATH": "1",  # the module that is installed, not the sources in this folder
        "OPENBLAS_NUM_THREADS": "1",  # its threads are not compiled for the thread sanitizer
    }
    # The thread sanitizer takes many times the memory and time that bound what faults come to, and Polars, which reads
    # data, crashes under it.
    beside = ["tests/faults", "tests/data"] if sanitizer == "thread" else []
    tests = [name for name in NATIVE_TESTS if name not in beside]
    session.run(*(session.posargs or ["pytest", *tests]), env=environment)


@nox.session(reuse_venv=True)
def coverage(session: nox.Session) -> None:
    """Which branches of the native code its tests take, file by file, on all instruction sets that this machine has;
    what none takes must stand in tests/native/uncovered.toml with its reason; slow.
    """
    build = Path("build/coverage")
    shutil.rmtree(build, ignore_errors=True)  # counts of earlier runs would be added to
    settings = {
        "build-dir": build,
        "cmake.build-type": "Debug",
        "cmake.define.FASTNN_TESTS": "ON",
        "cmake.define.FASTNN_CUDA": "OFF",
        # A function that is inlined has its branches once for each caller. Threads share the counters.
        "cmake.define.CMAKE_CXX_FLAGS": "--coverage -fprofile-update=atomic -Dalways_inline=noinline",
    }
    session.install(".[test]", "cmake", *tools("gcovr"), *(f"-C{name}={value}" for name, value in settings.items()))
    names = session.run("python", "-P", "-c", "from fastnn import _core; print(*_core.config()['isas'])", silent=True)
    tests = ["ctest", "--test-dir", str(build), "--output-on-failure", "--no-tests=error"]
    session.run(*tests, "-LE", "slow", "-E", "^(cuda|runtime|resident)_")
    for isa in str(names).split():
        session.run(*tests, "-R", "^(core|program)$", env={"FASTNN_ISA": isa})
    # Neither training on all of Fashion-MNIST, an hour without inlining, nor guarded memory takes other branches.
    session.run("pytest", *NATIVE_TESTS, "-k", "not fashion_mnist_is_learned and not touches_no_memory")
    report = str(build / "report.json")
    options = ["--root=.", "--filter=csrc/", "--gcov-suspicious-hits-threshold=0", "--exclude-directories=.*CompilerId"]
    options += ["--exclude=csrc/cuda/"]  # for another machine; emulated here
    options += ["--gcov-ignore-errors=source_not_found"]  # pybind11's: it was there while pip built
    session.run("gcovr", *options, f"--json={report}", str(build))
    session.run("python", "tests/native/coverage.py", report)


def require_programs(session: nox.Session, packages: dict[str, str]) -> None:
    """Skip the session where one of these programs is missing; the values are Debian's packages that have them."""
    missing = [package for program, package in packages.items() if shutil.which(program) is None]
    if missing:
        session.skip(f"not installed: apt install {' '.join(missing)}")


@nox.session(reuse_venv=True)
def neon(session: nox.Session) -> None:
    """The same for 64-bit ARM: cross-compiled, and run under QEMU, where every kernel must have the bits of x86."""
    require_programs(session, {"aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "qemu-aarch64": "qemu-user"})
    test_core(session, "neon")


@nox.session(reuse_venv=True)
def windows(session: nox.Session) -> None:
    """The same for Windows: cross-compiled by MinGW's GCC, and run under Wine."""
    require_programs(session, {"x86_64-w64-mingw32-g++-posix": "g++-mingw-w64-x86-64-posix", "wine": "wine wine64"})
    session.env.update(WINEPREFIX=str(Path(session.create_tmp(), "wine").absolute()), WINEDEBUG="-all")
    test_core(session, "windows")


@nox.session(reuse_venv=True)
def musl(session: nox.Session) -> None:
    """The same for Linux with musl instead of glibc, by Zig's clang and C++ library."""
    session.install("ziglang")
    test_core(session, "musl")


@nox.session(reuse_venv=True)
def macos(session: nox.Session) -> None:
    """The core and its tests compile and link for macOS on Apple silicon, by Zig's clang; nothing runs."""
    session.install("ziglang")
    build_core(session, "macos")


@nox.session(reuse_venv=True)
def cuda(session: nox.Session) -> None:
    """The kernels for CUDA devices compile for every architecture without a warning, and none spills a register."""
    require_programs(session, {"nvcc": "nvidia-cuda-toolkit, or NVIDIA's own packages"})
    session.install("cmake", "ninja")
    session.run("cmake", "--preset", "cuda", "-GNinja", "--fresh")
    log = session.run("cmake", "--build", "--preset", "cuda", "--clean-first", silent=True)
    Path("build/cuda/ptxas.log").write_text(str(log))
    session.run("python", "tests/native/cuda/resources.py", "build/cuda/ptxas.log", *session.posargs)


@nox.session(reuse_venv=True)
def instructions(session: nox.Session) -> None:
    """Instructions of hot paths, counted by Valgrind, against tests/native/instructions.json; `-- --fix` writes it."""
    require_programs(session, {"valgrind": "valgrind"})
    build_core(session, "release", "instructions")
    program = "build/release/tests/native/instructions"
    session.run("python", "tests/native/instructions.py", program, *session.posargs)


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
    """Campaigns that take minutes, and their options: `-- arguments` (malformed ones of native entry points), `calls`
    (random ones), `processes` (forks, Ctrl-C, threads), `memory` (growth, failing allocations), `files` (hostile ones),
    `kills` (of training, which is resumed), `ranks` (kills of one of several).
    """
    install(session, "test")
    campaign, *options = session.posargs or ["arguments"]
    # -P: the package that is installed, not the sources in this folder
    session.run("python", "-P", "-m", f"faults.{campaign}", *options, env={"PYTHONPATH": "tests"})


@nox.session(requires=["wheel"])
def fuzz(session: nox.Session) -> None:
    """Coverage-guided fuzzing: `-- idx` (or csv, npz, file, model, run, training), and libFuzzer's options."""
    install(session, "test", "atheris")
    target, *options = session.posargs or ["idx", "-max_total_time=60"]
    session.run("python", "-P", "-m", "faults.fuzz", target, *options, env={"PYTHONPATH": "tests"})


@nox.session(requires=["wheel"])
def docs(session: nox.Session) -> None:
    """The site, build/site/index.html, from docs/ and the docstrings; a warning is an error."""
    install(session, "docs")
    # -P: the installed package is documented, not the folder beside, which has no compiled module.
    session.run("python", "-P", "-m", "sphinx", "-W", "--keep-going", "-E", "docs", "build/site")


@nox.session
def bench(session: nox.Session) -> None:
    """Speed beside the peers: `-- kernels`, `-- train` or `-- process`, and their options."""
    session.install("-e", ".[bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)
