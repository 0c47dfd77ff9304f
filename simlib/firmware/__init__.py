"""What is shipped: the image format, its versions, and the firmware to put into it."""

from simlib.firmware.image import ParsedImage, describe_image, image_size, pad_to_slot, parse_image
from simlib.firmware.version import Version

__all__ = ["ParsedImage", "Version", "describe_image", "image_size", "pad_to_slot", "parse_image"]
