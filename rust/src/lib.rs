//! What moraine takes from the Rust world, behind the C interface of `include/moraine_rust.h`.
//!
//! Owns: chat templates (Jinja as Python's transformers runs it). Does not own: which template a model
//! file gives, message shapes, or any I/O; those are C++ (`src/chat`).
//! Read next: `ffi.rs` (the exports), `templates.rs` (compile, render, limits), `guard.rs` (what
//! no limit of the engine stops), `shims/` (where Python
//! and minijinja differ, one file for each concern).

mod ffi;
mod guard;
mod shims;
mod templates;
