/* The C interface of the Rust crate: chat templates. Written by hand beside src/ffi.rs, which must agree.
 *
 * Texts are UTF-8 without a terminating zero. No function lets a panic out; out of memory inside ends
 * the process, so every input has a size limit (src/templates.rs). All functions may be called from
 * any thread; one template may be rendered by several threads at once.
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
  MORAINE_INTERNAL = 6   /* a panic: a bug */
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

#ifdef __cplusplus
}
#endif

#endif
