"""dicom-node: images come in from the PACS, segmentations and structured reports go back.

The way of an instance, and the order of the layers (an import points down this list):

    cli, roles      how a person starts it: one command, one process per role
    pipeline        the way of a study, in one file: read this first
    node            builds the parts from the configuration and hands them to each other
    priors          a patient's earlier study, fetched from a PACS before the current one is analysed
    sending         the way of a result to its destinations, and the proof that it is there
    receive         association policy; one object to bytes; one receipt
    assemble        is the series complete? where does every voxel lie in the patient?
    select          which model package was made for these images, and why not
    infer           the stages of a package, in a child process of their own
    follow          what has become of findings since an earlier study
    encode          a result as DICOM objects, read back before anyone sends them
    deliver         to the PACS, every status read
    journal, spool  what is known, and the bytes
    place           where the bytes lie: a folder, or a bucket
    package, config, log, texts, errors, clock, values      the ground
"""

import os

__version__ = "0.1.0"

# ONNX Runtime tells its maker over the internet how it is used, unless it finds this when it is loaded; nothing leaves the hospital.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
