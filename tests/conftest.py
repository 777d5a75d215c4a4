"""What holds for the whole suite: no torchvision, no network, no GPU, and no help from either."""

import os
import signal
import sys

# Where torchvision happens to be installed, importing it fails all the same, and who asks whether it is there hears no.
sys.modules["torchvision"] = None  # type: ignore[assignment]
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # tiny tensors gain nothing from more, and lose much where cores are shared
os.environ["GOMP_SPINCOUNT"] = "0"  # and where a test takes more, they do not hold a core while they wait

# A suite in the background is begun with these ignored, and so would be every program that a test starts and stops.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
