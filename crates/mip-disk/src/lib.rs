//! What lies around the volumes of an Apple disk image.
