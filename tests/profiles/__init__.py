"""Every result profile through a real Orthanc, and through archives that refuse one SOP class after the other."""
