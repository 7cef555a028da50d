/* SPDX-License-Identifier: MIT */
/* Formatting for reports, without stdio: its functions may allocate. */
#include "text_internal.h"

#include "debug_internal.h"
#include "os.h"

static void empty(debug_text *t)
{
    t->length = 0;
    t->line = 0;
}

void hm__debug_text_start(debug_text *t)
{
    empty(t);
    t->lost = 0;
}

static void put_char(debug_text *t, char c)
{
    if (t->length < sizeof(t->text)) {
        t->text[t->length++] = c;
    }
    if (c == '\n') {
        t->line = t->length;
    }
}

void hm__debug_put(debug_text *t, const char *text)
{
    while (*text) {
        put_char(t, *text++);
    }
}

static int is_within(unsigned char c, unsigned low, unsigned high)
{
    return c >= low && c <= high;
}

size_t hm__debug_character(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    const unsigned char c = at[0];
    if (c < 0x80) {
        return c != 0;
    }
    if (is_within(c, 0xc2, 0xdf)) {
        return is_within(at[1], 0x80, 0xbf) ? 2 : 0;
    }
    if (!is_within(c, 0xe0, 0xf4)) {
        return 0;
    }
    /* Neither longer than need be, nor half of a pair, nor past the last one. */
    const unsigned low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    const unsigned high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (!is_within(at[1], low, high) || !is_within(at[2], 0x80, 0xbf)) {
        return 0;
    }
    return c < 0xf0 ? 3 : is_within(at[3], 0x80, 0xbf) ? 4 : 0;
}

static size_t digits_of(uint64_t number, unsigned base, char *last_first)
{
    size_t count = 0;
    do {
        last_first[count++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number);
    return count;
}

static void put_digits(debug_text *t, uint64_t number, unsigned base)
{
    char digits[24];
    for (size_t count = digits_of(number, base, digits); count; count--) {
        put_char(t, digits[count - 1]);
    }
}

void hm__debug_put_number(debug_text *t, uint64_t number)
{
    put_digits(t, number, 10);
}

void hm__debug_put_hex(debug_text *t, uint64_t number)
{
    hm__debug_put(t, "0x");
    put_digits(t, number, 16);
}

void hm__debug_put_byte(debug_text *t, unsigned byte)
{
    put_char(t, "0123456789abcdef"[byte >> 4 & 15]);
    put_char(t, "0123456789abcdef"[byte & 15]);
}

void hm__debug_put_site(debug_text *t, const hm_site *site)
{
    char text[512];
    hm__debug_put(t, hm__debug.core->site_text(site, 1, text, sizeof(text)));
}

void hm__debug_put_count(debug_text *t, uint64_t count, const char *one, const char *many)
{
    hm__debug_put_number(t, count);
    put_char(t, ' ');
    hm__debug_put(t, count == 1 ? one : many);
}

void hm__debug_put_column(debug_text *t, size_t column)
{
    do {
        put_char(t, ' ');
    } while (t->length - t->line < column && t->length < sizeof(t->text));
}

void hm__debug_put_right(debug_text *t, uint64_t number, size_t column)
{
    char digits[24];
    const size_t count = digits_of(number, 10, digits);
    hm__debug_put_column(t, column > count ? column - count : 0);
    put_digits(t, number, 10);
}

void hm__debug_text_send(debug_text *t, int fd)
{
    if (t->length == sizeof(t->text)) {
        t->text[t->length - 1] = '\n'; /* cut, but the next report starts its own line */
    }
    const int error = hm__os_write(fd, t->text, t->length);
    t->lost = t->lost ? t->lost : error;
    empty(t);
}
