//! Apple disk images (UDIF).
