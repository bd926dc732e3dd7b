//! Builders of app data.
