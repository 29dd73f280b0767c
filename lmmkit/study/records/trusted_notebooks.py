"""Which notebooks are executed: the installed ones, or a project's own once their user has trusted them.

Trust is kept per user, place and content, as direnv keeps it: an entry per notebook in the user's data
folder, named by the digest of where it lies and of all in it that is executed. A notebook that is edited,
moved or copied is another one.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

from lmmkit.errors import LmmkitError, RunError
from lmmkit.study.files.shipped import shipped
from lmmkit.study.records.artifacts import sha256, write_bytes
from lmmkit.study.records.notebooks import ASKED, Notebook, read_notebook

FOLDER, STEPS = "notebooks", "0[1-9]_*.ipynb"
#: What a run tells the processes that it starts: the notebooks that it has checked, and their digests.
CHECKED = "LMMKIT_NOTEBOOKS"


def project_of(study_file: Path) -> Path:
    """The project of a study: the folder that holds its file, or the one above a folder called `params`."""
    folder = Path(os.path.realpath(study_file)).parent  # a link to itself is told when the file is read
    return folder.parent if folder.name == "params" else folder


def project_folder() -> Path:
    """The project that is worked in: the working directory, or the one above `notebooks` or `params`."""
    here = Path.cwd().resolve()
    return here.parent if here.name in (FOLDER, "params") else here


def has_notebooks(project: Path) -> bool:
    """Whether a project has notebooks of its own."""
    return any((project / FOLDER).glob(STEPS))


def find_notebooks(study_file: Path) -> list[Notebook]:
    """The notebooks that a study's run executes: its project's own where it has any, else the installed ones.

    In a process that a run has started, those that the run has checked.

    Raises:
        RunError: they are not trusted, not complete, or have changed since they were checked.
    """
    told = os.environ.get(CHECKED)
    if told:
        return _as_checked(json.loads(told))
    project = project_of(study_file)
    return trusted_notebooks(project / FOLDER if has_notebooks(project) else None)


def trusted_notebooks(folder: Path | None = None) -> list[Notebook]:
    """The steps in a folder, in order, each read once; the installed ones where none is named.

    Raises:
        RunError: there is none for one of the steps, two are for one, or one is not trusted.
    """
    if folder is None or folder.resolve() == shipped(FOLDER).resolve():
        return _complete([read_notebook(path) for path in _paths(shipped(FOLDER))], shipped(FOLDER))
    books = own_notebooks(folder)
    refused = untrusted(books)
    if refused:
        names = ", ".join(book.path.name for book in refused)
        raise RunError(
            f"{refused[0].path} is not executed: {_whose(refused[0].path)} and you have not trusted it as it "
            f"is now. Read {names}; then, if you trust them: lmmkit trust {_quoted(folder.parent)}"
        )
    return books


def notebooks_folder(project: Path) -> Path:
    """Where a project's own notebooks lie; the project may also be named by its `notebooks` or `params`."""
    place = project.resolve()
    return (place.parent if place.name in (FOLDER, "params") else place) / FOLDER


def own_notebooks(folder: Path) -> list[Notebook]:
    """The steps in a folder, one for each, trusted or not.

    Raises:
        RunError: they are not complete, or cannot be read.
    """
    return _complete(list(_read_safely(folder)), folder)


def write_copies(folder: Path) -> None:
    """Copies of the installed notebooks, trusted, for a project that has none.

    Raises:
        RunError: the folder cannot be written.
    """
    for path in sorted(shipped(FOLDER).glob("*.ipynb")):
        if not os.path.lexists(folder / path.name):
            write_bytes(folder / path.name, path.read_bytes())
    trust(own_notebooks(folder))


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob(STEPS))


def _complete(books: Sequence[Notebook], folder: Path) -> list[Notebook]:
    """The notebooks, when there is one for each step of a run."""
    numbers = [book.name[:2] for book in books]
    for step in (path.stem for path in _paths(shipped(FOLDER))):
        if step[:2] not in numbers and step[:2] not in ASKED:
            raise RunError(
                f"{folder} lacks the notebook of a step, {step}.ipynb; a project's own notebooks are a whole "
                "set: copy it from the installed ones, or remove the others to run those"
            )
    twice = [book.path.name for book in books if numbers.count(book.name[:2]) > 1]
    if twice:
        raise RunError(f"{folder} has two notebooks for one step: {', '.join(twice)}; rename or remove one")
    return list(books)


def _read_safely(folder: Path) -> Iterable[Notebook]:
    """The steps in a folder that may be anybody's: files there, not links to files elsewhere."""
    paths = _paths(folder)
    if not paths:
        raise RunError(f"no notebooks 01_... to 04_... in {folder}; the installed ones need no folder named")
    for path in paths:
        if folder.is_symlink() or path.is_symlink():
            raise RunError(
                f"{path} is reached through a link; notebooks that are executed are files in place"
            )
        yield read_notebook(path)


def _whose(path: Path) -> str:
    """Whose a file is, as far as it matters."""
    owner = path.lstat().st_uid
    return "it is a project's own notebook" if owner == os.geteuid() else "it belongs to another user"


def _quoted(path: Path) -> str:
    return quote(str(path))


# What a run tells the processes that it starts.


def checked(books: Sequence[Notebook]) -> dict[str, str]:
    """The environment that tells a process which notebooks have been checked."""
    told = {
        "folder": str(books[0].path.parent.resolve()),
        "digests": {book.name: book.digest for book in books},
    }
    return {CHECKED: json.dumps(told)}


@contextmanager
def telling(books: Sequence[Notebook]) -> Generator[None]:
    """While it lasts, processes are told which notebooks have been checked."""
    before = os.environ.get(CHECKED)
    os.environ.update(checked(books))
    try:
        yield
    finally:
        if before is None:
            del os.environ[CHECKED]
        else:
            os.environ[CHECKED] = before


def _as_checked(told: dict[str, Any]) -> list[Notebook]:
    """The notebooks that a run has checked, as long as nobody has changed them since."""
    books = [read_notebook(path) for path in _paths(Path(told["folder"]))]
    if {book.name: book.digest for book in books} != told["digests"]:
        raise RunError(f"the notebooks in {told['folder']} have changed since the run began; start it again")
    return books


# The trust store.


def untrusted(books: Iterable[Notebook]) -> list[Notebook]:
    """The notebooks that are none of the installed ones, and not trusted by their user as and where they are.

    Raises:
        RunError: others than the user could have written what is kept of their trust.
    """
    installed = {read_notebook(path).digest for path in shipped(FOLDER).glob("*.ipynb")}
    return [book for book in books if book.digest not in installed and not _is_kept(book)]


def is_trusted(book: Notebook) -> bool:
    """Whether a notebook is one of the installed ones, or its user has trusted it as it is, where it is."""
    return not untrusted([book])


def trust(books: Iterable[Notebook]) -> None:
    """Keep that the user trusts notebooks as they are, where they are.

    Raises:
        RunError: the trust store cannot be written, or others can write it.
    """
    store = trust_store()
    try:
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_foreign(store)
        for book in books:
            entry = store / _entry(book)
            entry.unlink(missing_ok=True)
            handle = os.open(entry, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write(f"{book.path.resolve()}\n")
    except OSError as error:
        raise RunError(
            f"{store} cannot be written: {error.strerror}; set XDG_DATA_HOME to a folder of yours"
        ) from None


def revoke(books: Iterable[Notebook]) -> None:
    """Forget all that was ever trusted under the places of notebooks.

    Raises:
        RunError: the trust store cannot be written.
    """
    places, store = {f"{book.path.resolve()}\n" for book in books}, trust_store()
    try:
        for entry in store.iterdir() if store.is_dir() else ():
            if entry.read_text(encoding="utf-8", errors="surrogateescape") in places:
                entry.unlink()
    except OSError as error:
        raise RunError(f"{store} cannot be written: {error.strerror}") from None


def anyone_can_write(folder: Path, books: Iterable[Notebook]) -> bool:
    """Whether everybody on the machine can write a folder or a notebook in it."""
    return any(path.stat().st_mode & stat.S_IWOTH for path in (folder, *(book.path for book in books)))


def trust_store() -> Path:
    """The folder of what this user trusts: `lmmkit/trusted` in the XDG data folder.

    Raises:
        RunError: the user has no home.
    """
    data = os.environ.get("XDG_DATA_HOME", "")
    if Path(data).is_absolute():
        return Path(data) / "lmmkit/trusted"
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    if not home.is_absolute():
        raise RunError("what you trust is kept in your home, and you have none; set HOME or XDG_DATA_HOME")
    return home / ".local/share/lmmkit/trusted"


def _entry(book: Notebook) -> str:
    """The name of a notebook's entry: the digest of its place and of what is executed of it."""
    return sha256(f"{book.path.resolve()}\0{book.digest}".encode(errors="surrogateescape"))


def _is_kept(book: Notebook) -> bool:
    try:
        store = trust_store()
    except LmmkitError:  # without a home nothing is trusted
        return False
    if not os.path.lexists(store):
        return False
    _refuse_foreign(store)
    entry = store / _entry(book)
    if not os.path.lexists(entry):
        return False
    _refuse_foreign(entry)
    return True


def _refuse_foreign(path: Path) -> None:
    """Refuse a store or an entry that others than the user could have made or changed."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise RunError(f"{path} is a link; what you trust is kept in a folder of your own: remove the link")
    if found.st_uid != os.geteuid():
        raise RunError(f"{path} belongs to another user; what you trust is kept in a folder of your own")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RunError(f"others can write {path}, which says what you trust: chmod go-w {_quoted(path)}")
