"""Where things lie, found from this file, so that any clone on any machine works."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"  # real images beside the repository; tests that use them are skipped where it is absent
LUNG_NODULE = REPOSITORY / "models" / "ct-lung-nodule"
