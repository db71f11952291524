//! What moraine takes from the Rust world, behind the C interface of `include/moraine_rust.h`.
//!
//! Owns: chat templates (Jinja as Python's transformers runs it) and grammars (which tokens may come next).
//! Does not own: which template a model file gives, message shapes, what grammars say, or any I/O; those are
//! C++ (`src/chat`, `src/constraint`).
//! Read next: `ffi.rs` (the exports), `templates.rs` (compile, render, limits), `shims/` (where Python and
//! minijinja differ, one file for each concern), `constraints.rs` (vocabulary, grammar, mask), `guard.rs` (what
//! no limit of these stops).

mod constraints;
mod ffi;
mod ffi_constraints;
mod guard;
mod shims;
mod templates;
