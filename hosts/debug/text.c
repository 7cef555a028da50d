/* SPDX-License-Identifier: MIT */
/* Formatting for reports, without stdio: its functions may allocate. */
#include "text_internal.h"

#include "debug_internal.h"

void hm__debug_text_start(debug_text *t)
{
    t->length = 0;
    t->line = 0;
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
    hm__debug.core->write(fd, t->text, t->length);
    hm__debug_text_start(t);
}
