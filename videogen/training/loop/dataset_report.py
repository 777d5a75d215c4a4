"""How many clips a run uses, and why the others are left out."""

from dataclasses import dataclass

from videogen.training.loop.stage import Json


@dataclass(frozen=True)
class DatasetReport:
    """Counts of clips for the last phase. `held_out` clips are not trained on; at most `requested` are validated."""

    train: int
    held_out: int
    requested: int
    refused: int
    short: int
    min_length: str  # for instance "9 frames at 8 a second"

    @property
    def validation(self) -> int:
        return min(self.held_out, self.requested)

    def line(self) -> str:
        """One line for the log; it mentions only what differs from the configuration."""
        many = self.held_out > self.requested
        validation = f"{self.validation} of {self.held_out}" if many else str(self.held_out)
        fewer = f" ({self.requested} were requested)" if self.held_out < self.requested else ""
        refused = [f"{self.refused} refused"] if self.refused else []
        short = [f"{self.short} shorter than {self.min_length}"] if self.short else []
        left_out = f"; left out: {', '.join(refused + short)}" if refused or short else ""
        return f"{self.train} clips to train on, {validation} to validate with{fewer}{left_out}"

    def as_dict(self) -> Json:
        """The counts of a dry run."""
        return {"clips": self.train, "clips to validate with": self.validation, "clips too short": self.short}
