"""Which SOP classes and transfer syntaxes the node can use: what it accepts from the network and what it reads as an image.

Kept to images that models read: CT, MR, PET, radiographs and mammograms. Ultrasound, nuclear medicine, angiography, visible light
and secondary captures are left out until a stage kind reads them; so are all objects that are no images. A PACS that forwards a
whole study sees those presentation contexts rejected and the images accepted.
"""

from pydicom import config, uid

IMAGE_CLASSES: tuple[str, ...] = (
    uid.CTImageStorage,
    uid.EnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedCTImageStorage,
    uid.MRImageStorage,
    uid.EnhancedMRImageStorage,
    uid.LegacyConvertedEnhancedMRImageStorage,
    uid.PositronEmissionTomographyImageStorage,
    uid.EnhancedPETImageStorage,
    uid.LegacyConvertedEnhancedPETImageStorage,
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.DigitalMammographyXRayImageStorageForPresentation,
    uid.DigitalMammographyXRayImageStorageForProcessing,
    uid.BreastTomosynthesisImageStorage,
)

# In our order of preference: the acceptor takes the first of these among those that a presentation context proposes. Uncompressed
# first, since a sender that proposes several holds or can make it, and decoding costs more than the network; explicit before
# implicit, since private elements keep their VR. Then lossless before lossy: a sender that offers both in one context would
# have to compress anew, and only the lossless ones keep what a model measures.
TRANSFER_SYNTAXES: tuple[str, ...] = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.RLELossless,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.JPEGLosslessSV1,
    uid.JPEGLossless,
    uid.HTJ2K,
    uid.JPEG2000,
    uid.JPEGLSNearLossless,
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,  # 8 bit only decodes; what holds 12 bits is refused with a reason when its pixels are wanted
)

DEFLATED = str(uid.DeflatedExplicitVRLittleEndian)


def name_of(uid_text: str) -> str:
    """The name of a UID in PS3.6, or a word for one that is not registered there: a private UID says who made the software."""
    name = uid.UID(uid_text, validation_mode=config.IGNORE).name  # it would warn, with the value, of a UID that is none
    return "private or unknown" if name == uid_text else name
