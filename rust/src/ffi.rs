//! The exports of `include/moraine_rust.h`, where their contracts are written; those of grammars are in
//! `ffi_constraints.rs`.
//!
//! Each catches panics. Out of memory aborts and cannot be caught, so sizes are limited before
//! (`templates.rs`).

use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::shims::clock::LocalTime;
use crate::templates::{Failure, FailureKind, Input, Template};

/// Borrowed UTF-8 text; `data` may be null where `size` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Str {
    data: *const u8,
    size: usize,
}

impl Str {
    /// # Safety
    /// `data` points to `size` readable bytes that outlive the call.
    pub unsafe fn text<'a>(self, what: &str) -> Result<&'a str, Failure> {
        if self.data.is_null() || self.size == 0 {
            return Ok("");
        }
        std::str::from_utf8(std::slice::from_raw_parts(self.data, self.size))
            .map_err(|_| Failure::new(FailureKind::Input, format!("the {what} are not valid UTF-8")))
    }
}

/// Text owned by this side, given back by `moraine_text_free`.
#[repr(C)]
pub struct Text {
    data: *mut u8,
    size: usize,
    capacity: usize,
}

impl Text {
    pub fn new(text: String) -> Text {
        let mut text = std::mem::ManuallyDrop::new(text.into_bytes());
        Text { data: text.as_mut_ptr(), size: text.len(), capacity: text.capacity() }
    }
}

#[repr(C)]
pub struct ErrorInfo {
    message: Text,
    line: u32,
}

#[repr(C)]
pub struct RenderInput {
    messages: Str,
    tools: Str,
    variables: Str,
    add_generation_prompt: bool,
    now_unix_s: i64,
    utc_offset_s: i32,
}

// moraine_status of the header.
const OK: i32 = 0;
const INTERNAL: i32 = 6;

fn status(kind: FailureKind) -> i32 {
    match kind {
        FailureKind::Raised => 1,
        FailureKind::Template => 2,
        FailureKind::Limit | FailureKind::GivenUp => 3,
        FailureKind::Input => 4,
        FailureKind::Resources => 5,
        FailureKind::Grammar => 7,
    }
}

/// Runs `body`, stores what it fails with, panics included.
pub unsafe fn guarded(error: *mut ErrorInfo, body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    let (status, message, line) = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return OK,
        Ok(Err(failure)) => (status(failure.kind), failure.message, failure.line),
        Err(panic) => {
            let reason = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or(panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown");
            (INTERNAL, format!("something inside failed: {reason}"), 0)
        }
    };
    error.write(ErrorInfo { message: Text::new(message), line });
    status
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_template_compile(
    source: Str,
    variables: Str,
    template: *mut *mut Template,
    error: *mut ErrorInfo,
) -> i32 {
    guarded(error, || {
        let compiled =
            Template::compile(source.text("bytes of the template")?, variables.text("variables")?)?;
        template.write(Box::into_raw(Box::new(compiled)));
        Ok(())
    })
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_template_render(
    template: *const Template,
    input: *const RenderInput,
    text: *mut Text,
    error: *mut ErrorInfo,
) -> i32 {
    guarded(error, || {
        let input = &*input;
        let rendered = (*template).render(Input {
            messages: input.messages.text("messages")?.to_string(),
            tools: input.tools.text("tools")?.to_string(),
            variables: input.variables.text("variables")?.to_string(),
            add_generation_prompt: input.add_generation_prompt,
            now: LocalTime { unix_s: input.now_unix_s, utc_offset_s: input.utc_offset_s },
        })?;
        text.write(Text::new(rendered));
        Ok(())
    })
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_template_free(template: *mut Template) {
    if !template.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(template))));
    }
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_text_free(text: Text) {
    if !text.data.is_null() {
        drop(Vec::from_raw_parts(text.data, text.size, text.capacity));
    }
}
