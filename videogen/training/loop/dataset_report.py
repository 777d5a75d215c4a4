"""How many clips a run uses, and why not the others: what a person looks at before hours are spent."""

from dataclasses import dataclass

from videogen.training.loop.stage import Json


@dataclass(frozen=True)
class Used:
    """Clips by what becomes of them in the last phase; `held_out` of them were kept, some are looked at."""

    train: int
    held_out: int
    asked: int  # to validate with: at most so many are looked at
    refused: int
    short: int
    least: str  # what those that are too short do not hold

    @property
    def validation(self) -> int:
        return min(self.held_out, self.asked)

    def line(self) -> str:
        """As a remark when a run begins: nothing is said of what is as it was asked for."""
        judged = f"{self.validation} of {self.held_out}" if self.held_out > self.asked else str(self.held_out)
        fewer = f" ({self.asked} were asked for)" if self.held_out < self.asked else ""
        refused = [f"{self.refused} refused"] if self.refused else []
        short = [f"{self.short} shorter than {self.least}"] if self.short else []
        left_out = f"; left out: {', '.join(refused + short)}" if refused or short else ""
        return f"{self.train} clips to train on, {judged} to validate with{fewer}{left_out}"

    def figures(self) -> Json:
        """As a dry run says it."""
        return {"clips": self.train, "clips to validate with": self.validation, "clips too short": self.short}
