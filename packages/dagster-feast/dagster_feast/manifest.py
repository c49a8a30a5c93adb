"""What a Feast repository declares, known without importing Feast.

Feast has no manifest and costs seconds to import, so one is made in a process of its own and
cached under a hash of everything it depends on. Reading it takes milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from .errors import FeastRepoError, FeastWarning, unknown
from .nodes import DataSource, Entity, FeatureService, FeatureView, Node
from .parse import Parser, digest

READ = {".py", ".yaml", ".yml", ".sql"}
"""The files of a repository that its manifest may depend on, by suffix."""
Named = TypeVar("Named")
DESCRIBE = Path(__file__).with_name("describe.py")


@dataclass(frozen=True, kw_only=True)
class FeastManifest:
    """A repository's objects by name, parents before children.

    skipped: what Feast does not register because only a list holds it, in words
    digest: changes with anything declared; fingerprint: with any byte it was made from
    """

    project: str
    offline_store: str
    online_store: str
    sources: Mapping[str, DataSource]
    entities: Mapping[str, Entity]
    views: Mapping[str, FeatureView]
    services: Mapping[str, FeatureService]
    skipped: tuple[str, ...] = ()
    digest: str = ""
    fingerprint: str = ""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All that may be an asset: sources, views, services."""
        return (*self.sources.values(), *self.views.values(), *self.services.values())

    def source(self, name: str) -> DataSource:
        """Raises UnknownFeastName, offering the closest; so do the next three."""
        return _get("data source", name, self.sources)

    def entity(self, name: str) -> Entity:
        return _get("entity", name, self.entities)

    def view(self, name: str) -> FeatureView:
        return _get("feature view", name, self.views)

    def service(self, name: str) -> FeatureService:
        return _get("feature service", name, self.services)


def _get(kind: str, name: str, known: Mapping[str, Named]) -> Named:
    if name not in known:
        raise unknown(kind, name, known)
    return known[name]


def load_manifest(
    repo: str | Path,
    *,
    cache: str | Path | None = None,
    depends_on: Sequence[str | Path] = (),
    feature_store_yaml: str | Path | None = None,
) -> FeastManifest:
    """The manifest of the Feast repository in folder `repo`.

    Made afresh (seconds, in another process) only where a file of the repository, one of
    `depends_on` (files or folders outside it that its modules import or read) or the version of
    Feast has changed. `cache` is a folder; by default `dagster-feast` in the user's own cache.

    Raises FeastRepoError, ending with Feast's own words, where the repository cannot be read.
    Warns (FeastWarning) of objects that Feast would silently skip.
    """
    repo, config, fingerprint = _identify(repo, depends_on, feature_store_yaml)
    cached = Path(cache or default_cache()) / f"manifest-{fingerprint}.json"
    try:
        manifest = parse_manifest(json.loads(cached.read_bytes()), fingerprint)
    except (OSError, ValueError, KeyError, TypeError):  # never made, or damaged since
        write_atomically(cached, _describe(repo, config))
        manifest = parse_manifest(json.loads(cached.read_bytes()), fingerprint)
    _warn_of_skipped(manifest)
    return manifest


def describe_repo(
    repo: str | Path,
    *,
    depends_on: Sequence[str | Path] = (),
    feature_store_yaml: str | Path | None = None,
) -> bytes:
    """The description of a repository and its fingerprint, as JSON for `read_manifest`.

    Takes seconds, in another process. For those who keep the description themselves: in a
    container image, or as the state of a component. Raises FeastRepoError as `load_manifest`.
    """
    repo, config, fingerprint = _identify(repo, depends_on, feature_store_yaml)
    described = json.loads(_describe(repo, config))
    return json.dumps({"fingerprint": fingerprint, "described": described}).encode()


def read_manifest(path: Path) -> FeastManifest:
    """The manifest of what `describe_repo` wrote to `path`.

    Raises FeastRepoError if the file holds something else.
    """
    try:
        kept = json.loads(path.read_bytes())
        manifest = parse_manifest(kept["described"], kept["fingerprint"])
    except (ValueError, KeyError, TypeError) as error:
        raise FeastRepoError(
            f"{path} holds no description of a Feast repository ({error!r}); expected what "
            "describe_repo wrote. Make it again: dg utils refresh-defs-state"
        ) from error
    _warn_of_skipped(manifest)
    return manifest


def _identify(
    repo: str | Path, depends_on: Sequence[str | Path], feature_store_yaml: str | Path | None
) -> tuple[Path, Path, str]:
    """The repository, its configuration, and a hash of all that its description depends on."""
    repo = Path(repo).resolve()
    config = Path(feature_store_yaml or repo / "feature_store.yaml").resolve()
    if not config.is_file():
        raise FeastRepoError(
            f"{config} is no file; expected the feature_store.yaml of a Feast repository"
        )
    others = [config, *(Path(each).resolve() for each in depends_on)]
    return repo, config, _fingerprint(repo, others)


def _warn_of_skipped(manifest: FeastManifest) -> None:
    for each in manifest.skipped:
        warnings.warn(
            f"Feast skips {each}, because only a collection holds it. Give it a name of its own "
            "in its module, or publish it there with globals().update(...).",
            FeastWarning, stacklevel=3,
        )


def project_of(config: Path) -> str:
    """The name of the project in a feature_store.yaml. Raises FeastRepoError if it has none."""
    import yaml  # type: ignore[import-untyped]

    try:
        return str(yaml.safe_load(config.read_text())["project"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise FeastRepoError(
            f"{config} names no Feast project ({error!r}); expected the feature_store.yaml of a "
            "Feast repository, with a line `project: NAME`"
        ) from error


def parse_manifest(described: Mapping[str, Any], fingerprint: str = "") -> FeastManifest:
    """Typed from what `describe` prints."""
    parsed = Parser(described)
    parsed.parse()
    return FeastManifest(
        project=described["project"],
        offline_store=described["offline_store"],
        online_store=described["online_store"],
        sources=parsed.sources,
        entities=parsed.entities,
        views=parsed.views,
        services=parsed.services,
        skipped=tuple(described["skipped"]),
        digest=digest(described),
        fingerprint=fingerprint or digest(described),
    )


def default_cache() -> Path:
    """`dagster-feast` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dagster-feast"


def write_atomically(path: Path, content: bytes) -> None:
    """The whole file or none of it, also where two processes write at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(name).replace(path)


def environment() -> dict[str, str]:
    """For a process that reads a repository: it can import whatever this one can."""
    paths = [path or str(Path.cwd()) for path in sys.path]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        # Feast keeps some columns in sets.
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
    }


def last_words(stderr: bytes, lines: int = 8) -> str:
    """The end of what a process complained of."""
    return "\n".join(stderr.decode(errors="replace").strip().splitlines()[-lines:])


def _describe(repo: Path, config: Path) -> bytes:
    done = subprocess.run(
        # -P: the folder of describe.py must not shadow the repository's modules.
        [sys.executable, "-P", str(DESCRIBE), str(repo), str(config)],
        capture_output=True, check=False, env=environment(),
    )
    if done.returncode != 0:
        raise FeastRepoError(
            f"cannot read the feature repository {repo}:\n{last_words(done.stderr)}"
        )
    return done.stdout


def _fingerprint(repo: Path, others: Sequence[Path]) -> str:
    hashed = hashlib.sha256(f"{_feast_version()} {DESCRIBE.read_text()}".encode())
    for number, place in enumerate([repo, *others]):
        if not place.exists():
            raise FeastRepoError(f"{place}, which the feature repository depends on, is not there")
        for path in _files(place):
            said = path.relative_to(place).as_posix()
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            hashed.update(f"{number} {said} {content}\n".encode())
    return hashed.hexdigest()[:20]


def _feast_version() -> str:
    try:
        return version("feast")
    except PackageNotFoundError:
        return "none"


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    for folder, below, names in os.walk(place):
        below[:] = sorted(name for name in below if name[0] != "." and name != "__pycache__")
        for name in sorted(names):
            if Path(name).suffix in READ or name == ".feastignore":
                yield Path(folder, name)
