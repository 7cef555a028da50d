/* SPDX-License-Identifier: MIT */
/* Fuzzes descriptions as they enter the registry: a good one, with some of its members changed by the input. It is
 * accepted, or refused with a sentence. The entry is libFuzzer's; without it, main feeds inputs that are always the
 * same. */
#include <hostmalloc/hostmalloc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define OPTIONS      257

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted is kept for good. */
typedef struct subject {
    hm_host_info info;
    hm_option options[3];
    const hm_option *list[OPTIONS];
    char name[24];
} subject;

typedef struct input {
    const uint8_t *data;
    size_t left;
} input;

static unsigned next(input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->data++;
}

static const char *text(input *in, const char *usual)
{
    static char long_text[70000];
    static const char *const texts[] = {NULL,          "",
                                        "a",           "Bad-Name",
                                        "default",     "x_9",
                                        " ",           "10",
                                        "10M",         "99999999999999999999",
                                        "-1",          "yes",
                                        "a|b",         "a||b",
                                        "|",           "1/4096",
                                        "1.5",         "(debug+default)",
                                        "%s%n",        "\n",
                                        "\xff\xfe",    "0x10",
                                        "caf\xc3\xa9", "a=b,c"};
    const unsigned which = next(in) % (COUNT(texts) + 8);
    if (!long_text[0]) {
        memset(long_text, 'q', sizeof long_text - 1);
    }
    if (which < COUNT(texts)) {
        return texts[which];
    }
    return which == COUNT(texts) ? long_text : usual;
}

static size_t number(input *in, size_t usual)
{
    const size_t numbers[] = {
        0,   1,   4,   8,    12,           16,           40,       63,        64,
        255, 256, 257, 4096, SIZE_MAX / 2, SIZE_MAX - 7, SIZE_MAX, usual - 1, usual + 8};
    const unsigned which = next(in) % (COUNT(numbers) + 6);
    return which < COUNT(numbers) ? numbers[which] : usual;
}

static hm_status
fuzz_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values, (void)inner;
    *out = NULL;
    return hm_error_set(err, HM_E_UNSUPPORTED, "fuzz", "nothing here");
}

static void set_up(subject *s, unsigned serial)
{
    memset(s, 0, sizeof *s);
    snprintf(s->name, sizeof s->name, "fuzz_%u", serial);
    for (size_t i = 0; i < COUNT(s->options); i++) {
        static const char *const names[] = {"one", "two", "three"};
        s->options[i] = (hm_option){.size = sizeof(hm_option),
                                    .name = names[i],
                                    .type = HM_OPTION_CHOICE,
                                    .fallback = "a",
                                    .help = "help",
                                    .choices = "a|b"};
    }
    for (size_t i = 0; i < OPTIONS; i++) {
        s->list[i] = &s->options[i % COUNT(s->options)];
    }
    s->info = (hm_host_info){.size = sizeof(hm_host_info),
                             .abi = HM_ABI,
                             .kind = HM_KIND_HOST,
                             .name = s->name,
                             .summary = "fuzz",
                             .version = "1",
                             .options = s->list,
                             .option_count = COUNT(s->options),
                             .open = fuzz_open};
}

/* Sizes may lie upwards by what the subject has behind a struct only: a longer struct is there, by contract. */
static void change(subject *s, input *in)
{
    hm_option *option = &s->options[next(in) % COUNT(s->options)];
    switch (next(in) % 17) {
    case 0:
        s->info.size = number(in, sizeof(hm_host_info));
        break;
    case 1:
        s->info.abi = (uint32_t)number(in, HM_ABI) << (next(in) % 3 ? 0 : 16);
        break;
    case 2:
        s->info.kind = (uint32_t)number(in, HM_KIND_LAYER);
        break;
    case 3:
        s->info.name = text(in, s->name);
        break;
    case 4:
        s->info.summary = text(in, "fuzz");
        break;
    case 5:
        s->info.version = text(in, "1");
        break;
    case 6:
        s->info.options = next(in) % 2 ? NULL : s->list;
        break;
    case 7:
        s->info.option_count = number(in, COUNT(s->options));
        break;
    case 8:
        s->info.open = next(in) % 2 ? NULL : fuzz_open;
        break;
    case 9:
        option->size = number(in, sizeof(hm_option));
        break;
    case 10:
        option->name = text(in, "four");
        break;
    case 11:
        option->type = (int32_t)next(in) - 3;
        break;
    case 12:
        option->flags = next(in) % 2;
        break;
    case 13:
        option->fallback = text(in, "a");
        break;
    case 14:
        option->help = text(in, "help");
        break;
    case 15:
        option->choices = text(in, "a|b");
        break;
    default:
        s->list[next(in) % 3] = NULL;
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned serial;
    static subject *s;
    input in = {data, size};
    hm_error err = {HM_OK, 0, "", ""};
    s = s ? s : malloc(sizeof *s);
    if (!s) {
        return 0;
    }
    set_up(s, serial++);
    for (unsigned changes = next(&in) % 4; changes > 0; changes--) {
        change(s, &in);
    }
    const hm_status status = hm_registry_add(&s->info, &err);
    const int expected = status == HM_OK || status == HM_E_INVALID ||
                         status == HM_E_ABI || status == HM_E_EXISTS;
    const int said =
        status == HM_OK || (err.status == status && err.where[0] && err.what[0]);
    if (!expected || !said || !memchr(err.what, 0, sizeof err.what) ||
        strchr(err.what, '\n')) {
        fprintf(stderr, "input %u: %s: %s: %s\n", serial, hm_status_name(status),
                err.where, err.what);
        abort();
    }
    if (status == HM_OK) {
        s = NULL; /* the registry has it now */
    }
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER
int main(void)
{
    uint32_t draw = 2024;
    uint8_t bytes[24];
    for (unsigned round = 0; round < 4000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            draw = draw * 1664525u + 1013904223u;
            bytes[i] = (uint8_t)(draw >> 24);
        }
        LLVMFuzzerTestOneInput(bytes, sizeof bytes);
    }
    printf("4000 descriptions: accepted, or refused with a sentence\n");
    return 0;
}
#endif
