/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32

typedef struct parser {
    const char *at;
    const char *end;
    unsigned depth;
} parser;

static json *parse_value(parser *p);

static void skip_space(parser *p)
{
    while (p->at < p->end && strchr(" \t\r\n", *p->at)) {
        p->at++;
    }
}

static int accept(parser *p, char wanted)
{
    skip_space(p);
    if (p->at < p->end && *p->at == wanted) {
        p->at++;
        return 1;
    }
    return 0;
}

static int accept_word(parser *p, const char *word)
{
    const size_t length = strlen(word);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, word, length) != 0) {
        return 0;
    }
    p->at += length;
    return 1;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Four digits after \u. Surrogate halves become '?': snapshots write other characters as they are. */
static char *put_escaped(parser *p, char *to)
{
    unsigned code = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = p->at < p->end ? hex_digit(*p->at++) : -1;
        if (digit < 0) {
            return NULL;
        }
        code = code * 16 + (unsigned)digit;
    }
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code >= 0xd800 && code < 0xe000) {
        *to++ = '?';
    } else {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

static int is_within(unsigned char c, unsigned low, unsigned high)
{
    return c >= low && c <= high;
}

/* Bytes of a character of more than one; 0: it is none, or one that XML has not. */
static size_t long_character(const unsigned char *at)
{
    const unsigned char c = at[0];
    if (is_within(c, 0xc2, 0xdf)) {
        return is_within(at[1], 0x80, 0xbf) ? 2 : 0;
    }
    const unsigned low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    const unsigned high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (!is_within(c, 0xe0, 0xf4) || !is_within(at[1], low, high) ||
        !is_within(at[2], 0x80, 0xbf)) {
        return 0;
    }
    if (c < 0xf0) {
        return c == 0xef && at[1] == 0xbf && at[2] >= 0xbe ? 0 : 3;
    }
    return is_within(at[3], 0x80, 0xbf) ? 4 : 0;
}

void json_clean(char *text)
{
    while (*text) {
        const unsigned char c = (unsigned char)*text;
        const size_t bytes =
            c < 0x80 ? 1 : long_character((const unsigned char *)(const void *)text);
        if (c < 0x20 || c == 0x7f) {
            *text = ' ';
        } else if (!bytes) {
            *text = '?';
        }
        text += bytes ? bytes : 1;
    }
}

/* Up to the mark that ends it, or as far as there is. */
static size_t text_length(const parser *p)
{
    const char *at = p->at;
    while (at < p->end && *at != '"') {
        at += *at == '\\' && at + 1 < p->end ? 2 : 1;
    }
    return (size_t)(at - p->at);
}

static char *parse_text(parser *p)
{
    static const char plain[] = "\"\\/bfnrt";
    static const char meant[] = "\"\\/\b\f\n\r\t";
    if (!accept(p, '"')) {
        return NULL;
    }
    char *text = malloc(text_length(p) + 1); /* never longer than its source */
    char *to = text;
    while (text && p->at < p->end && *p->at != '"') {
        const char c = *p->at++;
        if ((unsigned char)c < 0x20) {
            break;
        }
        if (c != '\\') {
            *to++ = c;
            continue;
        }
        const char escape = p->at < p->end ? *p->at++ : '\0';
        const char *known = escape ? strchr(plain, escape) : NULL;
        if (known) {
            *to++ = meant[known - plain];
        } else if (escape != 'u' || !(to = put_escaped(p, to))) {
            break;
        }
    }
    if (!text || p->at >= p->end || *p->at != '"' || !to) {
        free(text);
        return NULL;
    }
    p->at++;
    *to = '\0';
    json_clean(text);
    return text;
}

static int parse_number(parser *p, uint64_t *out)
{
    const char *from = p->at;
    *out = 0;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++) {
        const uint64_t digit = (uint64_t)(*p->at - '0');
        if (*out > (UINT64_MAX - digit) / 10) {
            return 0;
        }
        *out = *out * 10 + digit;
    }
    return p->at != from;
}

/* Members of a list or an object up to its closing mark; 0 when it is not well formed. */
static int parse_items(parser *p, json *into, char close)
{
    json **end = &into->item;
    if (accept(p, close)) {
        return 1;
    }
    do {
        char *key = NULL;
        if (into->kind == JSON_OBJECT && (!(key = parse_text(p)) || !accept(p, ':'))) {
            free(key);
            return 0;
        }
        *end = parse_value(p);
        if (!*end) {
            free(key);
            return 0;
        }
        (*end)->key = key;
        end = &(*end)->next;
    } while (accept(p, ','));
    return accept(p, close);
}

static int parse_into(parser *p, json *value)
{
    if (accept(p, '{')) {
        value->kind = JSON_OBJECT;
        return parse_items(p, value, '}');
    }
    if (accept(p, '[')) {
        value->kind = JSON_LIST;
        return parse_items(p, value, ']');
    }
    if (p->at < p->end && *p->at == '"') {
        value->kind = JSON_TEXT;
        value->text = parse_text(p);
        return value->text != NULL;
    }
    if (accept_word(p, "true")) {
        value->kind = JSON_TRUE;
        return 1;
    }
    if (accept_word(p, "false")) {
        value->kind = JSON_FALSE;
        return 1;
    }
    if (accept_word(p, "null")) {
        return 1;
    }
    value->kind = JSON_NUMBER;
    return parse_number(p, &value->number);
}

static json *parse_value(parser *p)
{
    json *value = p->depth < DEPTH_MAX ? calloc(1, sizeof *value) : NULL;
    if (!value) {
        return NULL;
    }
    p->depth++;
    skip_space(p);
    if (!parse_into(p, value)) {
        json_free(value);
        value = NULL;
    }
    p->depth--;
    return value;
}

json *json_parse(const char *text, size_t length, size_t *where)
{
    parser p = {text, text + length, 0};
    json *value = parse_value(&p);
    if (value) {
        skip_space(&p);
        if (p.at != p.end) {
            json_free(value);
            value = NULL;
        }
    }
    *where = (size_t)(p.at - text);
    return value;
}

void json_free(json *value)
{
    while (value) {
        json *next = value->next;
        json_free(value->item);
        free(value->text);
        free(value->key);
        free(value);
        value = next;
    }
}

const json *json_member(const json *object, const char *key)
{
    const json *at = object && object->kind == JSON_OBJECT ? object->item : NULL;
    while (at && strcmp(at->key, key) != 0) {
        at = at->next;
    }
    return at;
}

uint64_t json_number(const json *object, const char *key)
{
    const json *value = json_member(object, key);
    return value && value->kind == JSON_NUMBER ? value->number : 0;
}

const char *json_text(const json *object, const char *key, const char *fallback)
{
    const json *value = json_member(object, key);
    return value && value->kind == JSON_TEXT ? value->text : fallback;
}
