//! The code signature of a disk image.
