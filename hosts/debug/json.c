/* SPDX-License-Identifier: MIT */
/* JSON lines, one object a line, put together on the stack and sent as room runs out. */
#include "json_internal.h"

#include <string.h>

#define TEXT_MAX 1000 /* characters of one name */
#define ROOM_MAX 1024 /* what may follow before the text is looked at again */

void hm__debug_json_start(debug_json *w, int fd)
{
    w->fd = fd;
    w->lines = 0;
    hm__debug_text_start(&w->text);
}

void hm__debug_json_put(debug_json *w, const char *text)
{
    hm__debug_put(&w->text, text);
}

void hm__debug_json_room(debug_json *w)
{
    if (w->text.length > sizeof(w->text.text) - ROOM_MAX) {
        hm__debug_text_send(&w->text, w->fd);
    }
}

/* Names are whatever the program said, and may have been cut inside a character: JSON is UTF-8 all the same. */
void hm__debug_json_quoted(debug_json *w, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    hm__debug_json_put(w, "\"");
    for (size_t i = 0; text[i] && i < TEXT_MAX;) {
        const unsigned char c = (unsigned char)text[i];
        const size_t bytes = hm__debug_character(text + i);
        char piece[8] = {'?', '\0'};
        if (c == '"' || c == '\\') {
            piece[0] = '\\';
            piece[1] = (char)c;
        } else if (c < 0x20) {
            memcpy(piece, "\\u00", 4);
            piece[4] = hex[c >> 4];
            piece[5] = hex[c & 15];
        } else if (bytes) {
            memcpy(piece, text + i, bytes);
        }
        hm__debug_json_put(w, piece);
        hm__debug_json_room(w);
        i += bytes ? bytes : 1;
    }
    hm__debug_json_put(w, "\"");
}

void hm__debug_json_number(debug_json *w, const char *name, uint64_t value)
{
    hm__debug_json_put(w, ",\"");
    hm__debug_json_put(w, name);
    hm__debug_json_put(w, "\":");
    hm__debug_put_number(&w->text, value);
}

void hm__debug_json_text(debug_json *w, const char *name, const char *value)
{
    hm__debug_json_put(w, ",\"");
    hm__debug_json_put(w, name);
    hm__debug_json_put(w, "\":");
    hm__debug_json_quoted(w, value);
}

void hm__debug_json_begin(debug_json *w, const char *type)
{
    hm__debug_json_put(w, "{\"type\":");
    hm__debug_json_quoted(w, type);
}

/* The last line is not one of those it counts. */
void hm__debug_json_end(debug_json *w)
{
    hm__debug_json_put(w, "}\n");
    w->lines++;
    hm__debug_json_room(w);
}
