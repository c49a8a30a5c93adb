"""A message as people read it: by e-mail, or as JSON for a chat or an on-call service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from ml_assets.monitoring.alerts.incident import Incident

News = Literal["opened", "reminder", "resolved", "test"]


@dataclass(frozen=True, kw_only=True)
class Message:
    """news: why it is sent; link: the asset's page in the UI; owners: of the system"""

    news: News
    problem: Incident
    at: datetime
    link: str
    owners: tuple[str, ...]

    @property
    def subject(self) -> str:
        """One line."""
        mark = {"opened": "", "reminder": "still: ", "resolved": "resolved: ", "test": "test: "}
        return f"[{self.problem.system}] {mark[self.news]}{self.problem.title}"

    @property
    def text(self) -> str:
        """The whole message."""
        problem = self.problem
        if self.news == "resolved":
            head = [f"Over as of {self.at:%Y-%m-%d %H:%M} UTC. It had stood since "
                    f"{problem.since:%Y-%m-%d %H:%M} UTC. The last that was known of it:", ""]
        else:
            head = [f"Since {problem.since:%Y-%m-%d %H:%M} UTC."]
        return "\n".join([
            problem.title, "", *head, *(f"- {line}" for line in problem.what), "",
            f"How sure: {problem.sure}", f"What it probably means: {problem.means}",
            f"What to do: {problem.to_do}", "", f"More: {self.link}",
            f"Told: {', '.join(self.owners)}",
        ])

    @property
    def payload(self) -> Mapping[str, object]:
        """For a webhook; `text` is what chat services show."""
        problem = {**asdict(self.problem), "since": self.problem.since.isoformat()}
        return {"news": self.news, "at": self.at.isoformat(), "subject": self.subject,
                "text": f"{self.subject}\n\n{self.text}", "link": self.link,
                "owners": list(self.owners), "problem": problem}


def page_of(ui: str, asset: Sequence[str]) -> str:
    """The page of an asset in the UI at the address `ui`."""
    return f"{ui.rstrip('/')}/assets/{'/'.join(asset)}"
