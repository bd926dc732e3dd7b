//! APFS containers and volumes.
