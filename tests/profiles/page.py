"""The page of the documentation: what each profile leads to where a destination does not take everything."""

from collections.abc import Iterator

from dicom_node.roles.instead import name_class

from .judge import SENT
from .run import AGAIN, FOUND, GAP, NOTHING, Outcome
from .sites import PROFILES, Site

_HEAD = """# What each result profile leads to

Written by `make profiles`: a node with one destination for each line below sends four studies (two regions found, the same again, nothing
found, a slice missing) through real Orthancs, which take everything, and through archives that refuse one SOP class, or one after the
other. What a destination then holds is read back; each object is judged by dciodvfy, and by DCMTK, highdicom or Poppler where they read its
class.

- **sent**: an object of the wanted kind is there. Another kind: that one is there in its place. **refused**: nothing could take its place;
  `dicom-node status` says so, and the rest was sent.
- The second study is made for what the first one taught, and gives the same in one association.
- Nothing found: kinds that show regions are left out, the others say what was looked for.
- Not analysed: which kinds say so, and why (`says_not_analysed`).

"""


def write_page(outcome: Outcome) -> str:
    """Markdown."""
    profiles = list(dict.fromkeys(site.profile for site, _ in outcome.judged))
    return _HEAD + "\n".join(line for profile in profiles for line in _write_profile(profile, outcome)) + "\n" + _write_reasons(outcome)


def _write_profile(profile: str, outcome: Outcome) -> Iterator[str]:
    sites = [site for site, study in outcome.judged if site.profile == profile and study == FOUND]
    wanted = PROFILES[profile]
    yield f"## {profile}\n"
    yield f"| SOP classes that are refused | {' | '.join(wanted)} | nothing found | not analysed |"
    yield "|---" * (len(wanted) + 3) + "|"
    for site in sites:
        cells = outcome.judged[site, FOUND].cells
        same = "" if cells == outcome.judged[site, AGAIN].cells else " (the second time otherwise)"
        yield " | ".join(
            [
                f"| {_name(site)}{same}",
                *(_mark(cells.get(kind, "")) for kind in wanted),
                _list(site, NOTHING, outcome),
                f"{_list(site, GAP, outcome)} |",
            ]
        )
    yield ""


def _name(site: Site) -> str:
    if not site.refused:
        return f"none (Orthanc, {site.language})"
    return ", ".join(name_class(one).removesuffix(" Storage") for one in site.refused)


def _mark(cell: str) -> str:
    return cell if cell == SENT else f"**{cell or 'missing'}**"


def _list(site: Site, study: str, outcome: Outcome) -> str:
    """The kinds that are there, each once."""
    cells = outcome.judged[site, study].cells
    there = dict.fromkeys(kind.value if cell == SENT else cell for kind, cell in cells.items() if cell not in ("", "refused"))
    return ", ".join(there) or "**refused**"


def _write_reasons(outcome: Outcome) -> str:
    """Some of the node's own sentences, as `dicom-node status` prints them."""
    reasons = sorted({_general(reason, site) for (site, _), one in outcome.judged.items() for reason in one.reasons})
    head = "## What the node says\n\nAs `dicom-node status` prints it beside each object (*pacs* stands for the destination):\n\n"
    return head + "".join(f"- {reason}\n" for reason in reasons)


def _general(reason: str, site: Site) -> str:
    return reason.replace(site.name, "*pacs*")
