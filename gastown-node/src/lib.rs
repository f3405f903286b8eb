//! Binding; see the crate gastown-core.
