"""`python -m dicom_node`: the same as the command `dicom-node`."""

from dicom_node.cli import main

main()
