/* The C interface of the Rust crate: chat templates and grammars. Written by hand beside src/ffi.rs and
 * src/ffi_constraints.rs, which must agree.
 *
 * Texts are UTF-8 without a terminating zero. No function lets a panic out; out of memory inside ends
 * the process, so every input has a size limit (src/templates.rs, src/constraints.rs). All functions may be
 * called from any thread; one template, vocabulary or grammar may be used by several threads at once, a matcher
 * by one at a time.
 */
#ifndef MORAINE_RUST_H
#define MORAINE_RUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct moraine_template moraine_template;

/* Borrowed for the call; data may be null where size is 0. */
typedef struct {
  const char* data;
  size_t size;
} moraine_str;

/* Owned by the crate: give it back with moraine_text_free. */
typedef struct {
  char* data;
  size_t size;
  size_t capacity;
} moraine_text;

enum moraine_status {
  MORAINE_OK = 0,
  MORAINE_RAISED = 1,    /* the template called raise_exception; the message is its own */
  MORAINE_TEMPLATE = 2,  /* a syntax error, an unknown filter, an operation on the wrong type */
  MORAINE_LIMIT = 3,     /* too much text or work */
  MORAINE_INPUT = 4,     /* not UTF-8 or not the JSON it should be */
  MORAINE_RESOURCES = 5, /* no thread for the render */
  MORAINE_INTERNAL = 6,  /* a panic: a bug */
  MORAINE_GRAMMAR = 7    /* a grammar that cannot be used, or a token that it does not allow */
};

typedef struct {
  moraine_text message; /* no full stop at its end */
  uint32_t line;        /* of the template, from 1; 0 where there is none */
} moraine_error;

typedef struct {
  moraine_str messages;  /* a JSON array */
  moraine_str tools;     /* a JSON array, or empty: None */
  moraine_str variables; /* a JSON object, or empty: further variables; they win over all others */
  bool add_generation_prompt;
  int64_t now_unix_s; /* for strftime_now, with the local clock's distance from UTC */
  int32_t utc_offset_s;
} moraine_render_input;

/* variables: a JSON object that every render sees (bos_token, eos_token), or empty.
 * Sets *template on MORAINE_OK and *error otherwise; error->message must then be freed. */
int32_t moraine_template_compile(moraine_str source, moraine_str variables, moraine_template** compiled,
                                 moraine_error* error);

/* Sets *text on MORAINE_OK and *error otherwise; whichever is set must be freed. */
int32_t moraine_template_render(const moraine_template* compiled, const moraine_render_input* input,
                                moraine_text* text, moraine_error* error);

void moraine_template_free(moraine_template* compiled); /* null is fine */
void moraine_text_free(moraine_text text);

/* ---- Grammars: Lark text as llguidance reads it, with JSON schemas as %json {...} ---- */

typedef struct moraine_vocabulary moraine_vocabulary;
typedef struct moraine_grammar moraine_grammar;
typedef struct moraine_matcher moraine_matcher;

enum moraine_token_kind {
  MORAINE_TOKEN_TEXT = 0,    /* its bytes are text */
  MORAINE_TOKEN_CONTROL = 1, /* allowed only where a grammar names it: <[id]> */
  MORAINE_TOKEN_NEVER = 2
};

typedef struct {
  const uint8_t* bytes; /* of all tokens, one behind the other */
  const uint32_t* ends; /* [n_tokens]: where in bytes each ends */
  const uint8_t* kinds; /* [n_tokens]: moraine_token_kind */
  uint32_t n_tokens;
  const uint32_t* end_tokens; /* [n_end_tokens]: those that end a generation */
  uint32_t n_end_tokens;
} moraine_vocabulary_input;

/* Half a second for 150,000 tokens. */
int32_t moraine_vocabulary_build(const moraine_vocabulary_input* input, moraine_vocabulary** vocabulary,
                                 moraine_error* error);
void moraine_vocabulary_free(moraine_vocabulary* vocabulary); /* grammars keep what they need; null is fine */

/* warnings: what of it is not enforced, a line each; set on MORAINE_OK, must be freed. Milliseconds for tools of
 * an agent; 10 s at most. */
int32_t moraine_grammar_compile(const moraine_vocabulary* vocabulary, moraine_str text, moraine_grammar** grammar,
                                moraine_text* warnings, moraine_error* error);
void moraine_grammar_free(moraine_grammar* grammar); /* matchers keep what they need; null is fine */

/* A matcher is one text that grows. After an error it is of no further use. */
int32_t moraine_matcher_start(const moraine_grammar* grammar, moraine_matcher** matcher, moraine_error* error);
int32_t moraine_matcher_accept(moraine_matcher* matcher, uint32_t token, moraine_error* error);
int32_t moraine_matcher_accept_text(moraine_matcher* matcher, moraine_str text, moraine_error* error);
/* words [n_words]: bit t % 32 of word t / 32 says whether token t may follow. ended: nothing but the end can. */
int32_t moraine_matcher_mask(moraine_matcher* matcher, uint32_t* words, size_t n_words, bool* ended,
                             moraine_error* error);
/* The bytes that must follow, whatever may come then: n_bytes of them to bytes [most], fewer than there are where
 * most is less. A control token stands among them as a byte 0xFF and its id in brackets: "[42]". */
int32_t moraine_matcher_forced(const moraine_matcher* matcher, uint8_t* bytes, size_t most, size_t* n_bytes,
                               moraine_error* error);
void moraine_matcher_free(moraine_matcher* matcher); /* null is fine */

#ifdef __cplusplus
}
#endif

#endif
