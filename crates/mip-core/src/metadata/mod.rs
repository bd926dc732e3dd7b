//! The rules that decide what an installer is.

pub mod rules;
