//! FAT volumes.
