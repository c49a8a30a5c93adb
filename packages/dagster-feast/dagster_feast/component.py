"""`FeastRepoComponent`: a Feast repository in three lines of YAML."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
from dagster.components.utils.defs_state import (
    DefsStateConfig,
    DefsStateConfigArgs,
    ResolvedDefsStateConfig,
)

from .decorator import feast_assets
from .manifest import FeastManifest, describe_repo, project_of, read_manifest
from .resource import FeastResource
from .selection import Selection, select_nodes
from .specs import build_feast_external_specs, is_loadable
from .translator import DagsterFeastTranslator

RepoPath = Annotated[
    Path,
    dg.Resolver(
        lambda context, path: context.resolve_source_relative_path(path),
        model_field_type=str,
        description="The folder of feature_store.yaml, relative to this file.",
        examples=["../../feature_repo"],
    ),
]
"""A path in YAML is relative to the file that names it."""


@dataclass
class FeastRepoComponent(dg.StateBackedComponent, dg.Resolvable):
    """Every feature view, source and service of a Feast repository, as assets.

        type: dagster_feast.FeastRepoComponent
        attributes:
          repo_path: ../../feature_repo

    The description of the repository is the component's state: `dagster dev` and `dg dev` make
    it whenever they load the code; elsewhere `dg utils refresh-defs-state` does, for instance
    while a container image is built. Loading the definitions then never imports Feast.

    repo_path: the folder of the Feast repository
    select, exclude: what of it, see the README, "Selecting"
    depends_on: files and folders outside the repository that its modules import or read
    apply: run `feast apply` before a load if the registry does not hold this state of the
        repository; turn it off if you apply from CI

    Subclass it for another translator (`translator`), resource (`resource`) or way to load
    (`execute`). `post_processing` in the YAML changes the attributes of single assets.
    """

    repo_path: RepoPath
    select: Selection = None
    exclude: Selection = None
    depends_on: Sequence[RepoPath] = ()
    apply: bool = True
    defs_state: ResolvedDefsStateConfig = field(
        default_factory=DefsStateConfigArgs.local_filesystem
    )

    @property
    def defs_state_config(self) -> DefsStateConfig:
        """One state for each Feast project; components of one project share it."""
        project = project_of(self.repo_path / "feature_store.yaml")
        return DefsStateConfig.from_args(
            self.defs_state, default_key=f"FeastRepoComponent[{project}]"
        )

    def translator(self) -> DagsterFeastTranslator:
        """How Feast's objects become assets."""
        return DagsterFeastTranslator()

    def resource(self) -> FeastResource:
        """The feature store that is loaded."""
        return FeastResource(repo_path=str(self.repo_path))

    def execute(
        self, context: dg.AssetExecutionContext, feast: FeastResource, manifest: FeastManifest
    ) -> Iterator[Any]:
        """Load the selected views; override it to load otherwise, or to yield more."""
        if self.apply:
            feast.apply(manifest)
        yield from feast.materialize(context)

    def write_state_to_path(self, state_path: Path) -> None:
        """Describe the repository, in another process. Raises FeastRepoError if Feast cannot."""
        state_path.parent.mkdir(parents=True, exist_ok=True)
        state_path.write_bytes(describe_repo(self.repo_path, depends_on=self.depends_on))

    def build_defs_from_state(
        self, context: dg.ComponentLoadContext, state_path: Path | None
    ) -> dg.Definitions:
        """No assets, and a warning, if the state was never made."""
        if state_path is None:
            dg.get_dagster_logger().warning(
                f"{self.defs_state_config.key} has no state yet, so its feature views are not "
                "shown. Make it: dg utils refresh-defs-state"
            )
            return dg.Definitions()
        manifest, translator = read_manifest(state_path), self.translator()
        external = build_feast_external_specs(
            manifest, translator=translator, select=self.select, exclude=self.exclude
        )
        nodes = select_nodes(manifest, self.select, self.exclude)
        if not any(is_loadable(node) for node in nodes):
            return dg.Definitions(assets=external)

        @feast_assets(
            manifest=manifest, translator=translator, select=self.select, exclude=self.exclude
        )
        def views(context: dg.AssetExecutionContext) -> Iterator[Any]:
            yield from self.execute(context, self.resource(), manifest)

        return dg.Definitions(assets=[views, *external])
