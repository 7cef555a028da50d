/* SPDX-License-Identifier: MIT */
/* Reading one JSON value a line, as snapshots are written: just enough of the grammar, all of it checked. */
#ifndef HM_TOOLS_JSON_H
#define HM_TOOLS_JSON_H

#include <stddef.h>
#include <stdint.h>

typedef enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER, /* whole and not negative, as every figure of a snapshot is */
    JSON_TEXT,
    JSON_LIST,
    JSON_OBJECT
} json_kind;

typedef struct json {
    json_kind kind;
    uint64_t number;
    char *text;        /* of JSON_TEXT */
    char *key;         /* in an object */
    struct json *item; /* first of a list or object */
    struct json *next; /* in the list or object this is part of */
} json;

/* Parse text of length bytes. NULL and *where, the offset of what was not understood; json_free the rest. */
json *json_parse(const char *text, size_t length, size_t *where);
void json_free(json *value);

/* What is no UTF-8 becomes '?', as where a name was cut inside a character, and control characters blanks: most formats
   are made of lines, and XML can say neither. In place; all texts that were parsed are so. */
void json_clean(char *text);

/* Members of an object; what is not there, or of another kind, reads as 0 or fallback. */
const json *json_member(const json *object, const char *key);
uint64_t json_number(const json *object, const char *key);
const char *json_text(const json *object, const char *key, const char *fallback);

#endif
