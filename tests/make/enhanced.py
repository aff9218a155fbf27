"""The functional groups of a made enhanced multi-frame object (PS3.3 C.7.6.16, C.8.15, C.8.13)."""

from typing import Any

from pydicom.dataset import Dataset


def add_functional_groups(
    dataset: Dataset,
    *,
    modality: str,
    positions: list[list[str]],
    orientation: list[str],
    pixel_spacing: list[str],
    slice_thickness: str,
    rescale: tuple[str, str],
    dimension_organization_uid: str,
) -> None:
    """Shared and per-frame groups; frames in the order of `positions`, In-Stack Position counting from 1."""
    _add_enhanced_image(dataset, modality)
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(PixelSpacing=pixel_spacing, SliceThickness=slice_thickness)]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=orientation)]
    transformation = _item(RescaleIntercept=rescale[1], RescaleSlope=rescale[0], RescaleType="HU" if modality == "CT" else "US")
    shared.PixelValueTransformationSequence = [transformation]
    shared.FrameVOILUTSequence = [_item(WindowCenter="40", WindowWidth="400")]
    region = _item(CodeValue="51185008", CodingSchemeDesignator="SCT", CodeMeaning="Thorax")
    shared.FrameAnatomySequence = [_item(AnatomicRegionSequence=[region], FrameLaterality="U")]
    if modality == "CT":
        _add_ct_groups(shared)
    else:
        _add_mr_groups(shared)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [_frame(modality, number, position) for number, position in enumerate(positions, 1)]
    _add_dimensions(dataset, dimension_organization_uid)


def _frame(modality: str, number: int, position: list[str]) -> Dataset:
    content = _item(
        FrameReferenceDateTime="20250102101100",
        FrameAcquisitionDateTime="20250102101100",
        FrameAcquisitionDuration=1000.0,
        FrameAcquisitionNumber=1,
        StackID="1",
        InStackPositionNumber=number,
        DimensionIndexValues=[1, number],
    )
    frame = _item(FrameContentSequence=[content], PlanePositionSequence=[_item(ImagePositionPatient=position)])
    if modality == "CT":
        frame.CTPositionSequence = [
            _item(
                TablePosition=float(number),
                ReconstructionTargetCenterPatient=[0.0, 0.0, 0.0],
                DataCollectionCenterPatient=[0.0, 0.0, 0.0],
            )
        ]
    return frame


def _add_enhanced_image(dataset: Dataset, modality: str) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME" if modality == "CT" else "T1", "NONE"]
    dataset.AcquisitionDateTime, dataset.AcquisitionDuration = "20250102101100", 10.0
    dataset.AcquisitionNumber = 1
    dataset.PixelPresentation, dataset.VolumetricProperties, dataset.VolumeBasedCalculationTechnique = "MONOCHROME", "VOLUME", "NONE"
    dataset.ContentQualification = "PRODUCT"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.AcquisitionContextSequence = []
    if modality == "CT":
        dataset.MultienergyCTAcquisition = "NO"
        return
    dataset.ComplexImageComponent, dataset.AcquisitionContrast = "MAGNITUDE", "T1"
    dataset.ResonantNucleus, dataset.KSpaceFiltering, dataset.MagneticFieldStrength = "1H", "NONE", 1.5
    dataset.ApplicableSafetyStandardAgency, dataset.ApplicableSafetyStandardDescription = "IEC", "IEC 60601-2-33"
    dataset.PulseSequenceName, dataset.MRAcquisitionType, dataset.EchoPulseSequence = "se", "2D", "SPIN"
    dataset.MultipleSpinEcho, dataset.MultiPlanarExcitation, dataset.PhaseContrast = "NO", "NO", "NO"
    dataset.TimeOfFlightContrast, dataset.SteadyStatePulseSequence = "NO", "NONE"
    dataset.EchoPlanarPulseSequence, dataset.SpectrallySelectedSuppression, dataset.OversamplingPhase = "NO", "NONE", "NONE"
    dataset.GeometryOfKSpaceTraversal, dataset.RectilinearPhaseEncodeReordering = "RECTILINEAR", "LINEAR"
    dataset.SegmentedKSpaceTraversal, dataset.NumberOfKSpaceTrajectories = "SINGLE", 1
    dataset.SaturationRecovery = "NO"


def _add_ct_groups(shared: Dataset) -> None:
    common = {"FrameType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], "PixelPresentation": "MONOCHROME"}
    common |= {"VolumetricProperties": "VOLUME", "VolumeBasedCalculationTechnique": "NONE"}
    shared.CTImageFrameTypeSequence = [_item(**common)]
    shared.IrradiationEventIdentificationSequence = [_item(IrradiationEventUID="2.25.1")]
    shared.CTAcquisitionTypeSequence = [_item(AcquisitionType="SPIRAL", ConstantVolumeFlag="NO", FluoroscopyFlag="NO")]
    shared.CTAcquisitionDetailsSequence = [
        _item(
            RotationDirection="CW",
            RevolutionTime=0.5,
            SingleCollimationWidth=0.625,
            TotalCollimationWidth=40.0,
            TableHeight=150.0,
            GantryDetectorTilt=0.0,
            DataCollectionDiameter=500.0,
        )
    ]
    shared.CTTableDynamicsSequence = [_item(TableSpeed=50.0, TableFeedPerRotation=25.0, SpiralPitchFactor=0.625)]
    shared.CTGeometrySequence = [_item(DistanceSourceToDetector=1000.0, DistanceSourceToDataCollectionCenter=500.0)]
    shared.CTReconstructionSequence = [
        _item(
            ReconstructionAlgorithm="FILTER_BACK_PROJ",
            ConvolutionKernel="B30f",
            ConvolutionKernelGroup="SOFT_TISSUE",
            ReconstructionDiameter=500.0,
            ImageFilter="BODY",
            ReconstructionAngle=360.0,
            ReconstructionPixelSpacing=list(shared.PixelMeasuresSequence[0].PixelSpacing),
        )
    ]
    shared.CTExposureSequence = [
        _item(ExposureTimeInms=500.0, XRayTubeCurrentInmA=200.0, ExposureInmAs=100.0, ExposureModulationType="NONE")
    ]
    shared.CTXRayDetailsSequence = [_item(KVP="120", FocalSpots=[1.0], FilterType="FLAT", FilterMaterial="ALUMINUM")]


def _add_mr_groups(shared: Dataset) -> None:
    shared.MRImageFrameTypeSequence = [
        _item(
            FrameType=["ORIGINAL", "PRIMARY", "T1", "NONE"],
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
            ComplexImageComponent="MAGNITUDE",
            AcquisitionContrast="T1",
        )
    ]
    shared.MREchoSequence = [_item(EffectiveEchoTime=12.0)]
    limits = [_item(OperatingModeType=kind, OperatingMode="IEC_NORMAL") for kind in ("STATIC FIELD", "RF", "GRADIENT")]
    shared.MRTimingAndRelatedParametersSequence = [
        _item(
            RepetitionTime="500",
            FlipAngle="90",
            EchoTrainLength=1,
            RFEchoTrainLength=1,
            GradientEchoTrainLength=0,
            GradientOutputType="DB_DT",
            GradientOutput=10.0,
            SpecificAbsorptionRateSequence=[_item(SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY", SpecificAbsorptionRateValue=0.5)],
            OperatingModeSequence=limits,
        )
    ]
    shared.MRFOVGeometrySequence = [
        _item(
            InPlanePhaseEncodingDirection="ROW",
            MRAcquisitionFrequencyEncodingSteps=64,
            MRAcquisitionPhaseEncodingStepsInPlane=64,
            MRAcquisitionPhaseEncodingStepsOutOfPlane=1,
            PercentSampling="100",
            PercentPhaseFieldOfView="100",
        )
    ]
    shared.MRModifierSequence = [
        _item(
            InversionRecovery="NO",
            FlowCompensation="NONE",
            Spoiling="NONE",
            T2Preparation="NO",
            SpectrallySelectedExcitation="NONE",
            SpatialPresaturation="NONE",
            PartialFourier="NO",
            ParallelAcquisition="NO",
        )
    ]
    shared.MRImagingModifierSequence = [
        _item(
            MagnetizationTransfer="NONE",
            BloodSignalNulling="NO",
            Tagging="NONE",
            TransmitterFrequency=63.9,
            PixelBandwidth="200",
        )
    ]
    shared.MRReceiveCoilSequence = [
        _item(ReceiveCoilName="BODY", ReceiveCoilManufacturerName="", ReceiveCoilType="BODY", QuadratureReceiveCoil="YES")
    ]
    shared.MRTransmitCoilSequence = [_item(TransmitCoilName="BODY", TransmitCoilManufacturerName="", TransmitCoilType="BODY")]
    shared.MRAveragesSequence = [_item(NumberOfAverages="1")]


def _add_dimensions(dataset: Dataset, organization_uid: str) -> None:
    dataset.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=organization_uid)]
    dataset.DimensionOrganizationType = "3D"
    dataset.DimensionIndexSequence = [
        _item(
            DimensionOrganizationUID=organization_uid,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=0x00209111,
            DimensionDescriptionLabel=label,
        )
        for pointer, label in ((0x00209056, "Stack"), (0x00209057, "Position"))
    ]


def _item(**attributes: Any) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item
