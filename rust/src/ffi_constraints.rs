//! The exports of `include/moraine_rust.h` for grammars, where their contracts are written.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice;
use std::sync::Arc;

use crate::constraints::{Grammar, Running, TokenKind, Vocabulary};
use crate::ffi::{guarded, ErrorInfo, Str, Text};
use crate::templates::{Failure, FailureKind};

#[repr(C)]
pub struct VocabularyInput {
    bytes: *const u8,
    ends: *const u32,
    kinds: *const u8,
    n_tokens: u32,
    end_tokens: *const u32,
    n_end_tokens: u32,
}

/// # Safety
/// `data` points to `n` readable values that outlive the call, or `n` is 0.
unsafe fn array<'a, T>(data: *const T, n: u32) -> &'a [T] {
    if data.is_null() || n == 0 {
        return &[];
    }
    slice::from_raw_parts(data, n as usize)
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_vocabulary_build(
    input: *const VocabularyInput,
    vocabulary: *mut *const Vocabulary,
    error: *mut ErrorInfo,
) -> i32 {
    guarded(error, || {
        let input = &*input;
        let ends = array(input.ends, input.n_tokens);
        let kinds = array(input.kinds, input.n_tokens);
        let bytes = array(input.bytes, ends.last().copied().unwrap_or(0));
        let mut begin = 0;
        let mut tokens = Vec::with_capacity(ends.len());
        for (&end, &kind) in ends.iter().zip(kinds) {
            let range = bytes
                .get(begin as usize..end as usize)
                .ok_or_else(|| Failure::new(FailureKind::Input, "the ends of tokens are out of order"))?;
            let kind = match kind {
                0 => TokenKind::Text,
                1 => TokenKind::Control,
                _ => TokenKind::Never,
            };
            tokens.push((kind, range));
            begin = end;
        }
        let built = Vocabulary::new(&tokens, array(input.end_tokens, input.n_end_tokens))?;
        vocabulary.write(Arc::into_raw(Arc::new(built)));
        Ok(())
    })
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_vocabulary_free(vocabulary: *const Vocabulary) {
    free_shared(vocabulary);
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_grammar_compile(
    vocabulary: *const Vocabulary,
    text: Str,
    grammar: *mut *const Grammar,
    warnings: *mut Text,
    error: *mut ErrorInfo,
) -> i32 {
    guarded(error, || {
        let compiled = Grammar::compile(&borrowed(vocabulary), text.text("bytes of the grammar")?)?;
        warnings.write(Text::new(compiled.warnings.join("\n")));
        grammar.write(Arc::into_raw(Arc::new(compiled)));
        Ok(())
    })
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_grammar_free(grammar: *const Grammar) {
    free_shared(grammar);
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_matcher_start(
    grammar: *const Grammar,
    matcher: *mut *mut Running,
    error: *mut ErrorInfo,
) -> i32 {
    guarded(error, || {
        matcher.write(Box::into_raw(Box::new(borrowed(grammar).start())));
        Ok(())
    })
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_matcher_accept(
    matcher: *mut Running,
    token: u32,
    error: *mut ErrorInfo,
) -> i32 {
    guarded(error, || (*matcher).accept(token))
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_matcher_accept_text(
    matcher: *mut Running,
    text: Str,
    error: *mut ErrorInfo,
) -> i32 {
    guarded(error, || (*matcher).accept_text(text.text("bytes to accept")?.as_bytes()))
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_matcher_mask(
    matcher: *mut Running,
    words: *mut u32,
    n_words: usize,
    ended: *mut bool,
    error: *mut ErrorInfo,
) -> i32 {
    guarded(error, || {
        (*matcher).mask(slice::from_raw_parts_mut(words, n_words))?;
        ended.write((*matcher).ended());
        Ok(())
    })
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_matcher_forced(
    matcher: *const Running,
    bytes: *mut u8,
    most: usize,
    n_bytes: *mut usize,
    error: *mut ErrorInfo,
) -> i32 {
    guarded(error, || {
        let forced = (*matcher).forced();
        let n = forced.len().min(most);
        slice::from_raw_parts_mut(bytes, n).copy_from_slice(&forced[..n]);
        n_bytes.write(n);
        Ok(())
    })
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn moraine_matcher_free(matcher: *mut Running) {
    if !matcher.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(matcher))));
    }
}

/// A share of what `Arc::into_raw` gave out.
unsafe fn borrowed<T>(raw: *const T) -> Arc<T> {
    Arc::increment_strong_count(raw);
    Arc::from_raw(raw)
}

unsafe fn free_shared<T>(raw: *const T) {
    if !raw.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Arc::from_raw(raw))));
    }
}
