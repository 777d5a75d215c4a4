"""The kinds of measures that `videogen convert` makes folders of. A new kind is a new entry."""

from videogen.models.measures.base import MeasureKind
from videogen.models.measures.clip import CLIP
from videogen.models.measures.i3d import I3D_KINETICS
from videogen.models.measures.lpips import LPIPS
from videogen.models.measures.transnet import TRANSNET

MEASURES: dict[str, MeasureKind] = {"lpips": LPIPS, "i3d": I3D_KINETICS, "transnet": TRANSNET, "clip": CLIP}
