/* SPDX-License-Identifier: MIT */
/* Making malloc objects: what is granted and what is refused. The slot itself is called: the functions of host.h
 * would mend some of its mistakes. */
#include "kit.h"

static const uint32_t combinations[] = {
    0,
    HM_MALLOC_THREADSAFE,
    HM_MALLOC_ONE_THREAD,
    HM_MALLOC_SCOPED,
    HM_MALLOC_EXACT,
    HM_MALLOC_EXECUTABLE,
    HM_MALLOC_SCOPED | HM_MALLOC_THREADSAFE,
    HM_MALLOC_SCOPED | HM_MALLOC_ONE_THREAD,
    HM_MALLOC_SCOPED | HM_MALLOC_EXACT,
    HM_MALLOC_EXACT | HM_MALLOC_THREADSAFE,
    HM_MALLOC_EXACT | HM_MALLOC_ONE_THREAD,
    HM_MALLOC_EXECUTABLE | HM_MALLOC_THREADSAFE,
    HM_MALLOC_EXACT | HM_MALLOC_SCOPED | HM_MALLOC_THREADSAFE,
    HM_MALLOC_EXACT | HM_MALLOC_SCOPED | HM_MALLOC_THREADSAFE | HM_MALLOC_EXECUTABLE,
};

static hm_malloc_opts opts_of(uint32_t flags)
{
    const hm_malloc_opts opts = {sizeof opts, "kit", flags, 0, 0};
    return opts;
}

static hm_status
create(kit *k, const hm_malloc_opts *opts, hm_malloc **out, hm_error *err)
{
    return k->host->vtbl->create_malloc(k->host, opts, out, err);
}

static void every_kind(kit *k)
{
    for (size_t i = 0; i < KIT_COUNT(combinations); i++) {
        const hm_malloc_opts opts = opts_of(combinations[i]);
        hm_malloc *m = NULL;
        hm_error err = {HM_OK, 0, "", ""};
        const hm_status status = create(k, &opts, &m, &err);
        KIT_EXPECT(k, status == HM_OK || status == HM_E_UNSUPPORTED,
                   "HM_OK, or HM_E_UNSUPPORTED for a kind that is not offered",
                   "%s for flags 0x%x: %s", hm_status_name(status),
                   (unsigned)combinations[i], err.what);
        hm_malloc_release(status == HM_OK ? m : NULL);
    }
}

static void plain_offered(kit *k)
{
    const hm_malloc_opts opts = opts_of(0);
    hm_malloc *m = NULL;
    const hm_status status = create(k, &opts, &m, NULL);
    KIT_EXPECT(k, status == HM_OK, "a malloc without flags from every host", "%s",
               hm_status_name(status));
    hm_malloc_release(m);
}

static void without_options(kit *k)
{
    hm_malloc *m = NULL;
    const hm_status status = create(k, NULL, &m, NULL);
    KIT_EXPECT(k, status == HM_OK && m, "a malloc for options NULL", "%s",
               hm_status_name(status));
    kit_free(k, m, kit_alloc(k, m, 100));
    hm_malloc_release(m);
}

static void ok_means_an_object(kit *k)
{
    for (size_t i = 0; i < KIT_COUNT(combinations); i++) {
        const hm_malloc_opts opts = opts_of(combinations[i]);
        hm_malloc *m = NULL;
        hm_error err;
        if (create(k, &opts, &m, NULL) == HM_OK) {
            KIT_EXPECT(k, m, "an object with HM_OK", "NULL for flags 0x%x",
                       (unsigned)combinations[i]);
            const hm_status status = hm_malloc_validate(m, &err);
            KIT_EXPECT(k, status == HM_OK, "a whole table", "%s", err.what);
            hm_malloc_release(m);
        }
    }
}

/* A host may promise more than was asked: that it is exact, or that any thread may call. */
static void grants_flags(kit *k)
{
    const uint32_t stronger = HM_MALLOC_DEBUG | HM_MALLOC_EXACT | HM_MALLOC_THREADSAFE;
    for (size_t i = 0; i < KIT_COUNT(combinations); i++) {
        const uint32_t asked = combinations[i];
        const hm_malloc_opts opts = opts_of(asked);
        hm_malloc *m = NULL;
        if (create(k, &opts, &m, NULL) == HM_OK && m) {
            KIT_EXPECT(k, (m->flags & asked) == asked, "the flags that were asked for",
                       "0x%x for 0x%x", (unsigned)m->flags, (unsigned)asked);
            const uint32_t more = m->flags & ~(asked | stronger);
            KIT_EXPECT(k, !more, "no flags that nobody asked for", "0x%x for 0x%x",
                       (unsigned)more, (unsigned)asked);
            hm_malloc_release(m);
        }
    }
}

static void expect_invalid(kit *k, const hm_malloc_opts *opts, const char *expected)
{
    hm_malloc *m = NULL;
    const hm_status status = create(k, opts, &m, NULL);
    KIT_EXPECT(k, status == HM_E_INVALID, expected, "%s for flags 0x%x in %zu bytes",
               hm_status_name(status), (unsigned)opts->flags, opts->size);
}

static void unknown_flags(kit *k)
{
    static const uint32_t unknown[] = {0x20, 0x40, 0x80, 0x200, 0x10000, 0x80000000u};
    for (size_t i = 0; i < KIT_COUNT(unknown); i++) {
        hm_malloc_opts opts = opts_of(unknown[i]);
        expect_invalid(k, &opts, "HM_E_INVALID for an unknown flag");
        opts.flags |= HM_MALLOC_THREADSAFE;
        expect_invalid(k, &opts, "HM_E_INVALID for an unknown flag");
    }
}

static void contradicting_flags(kit *k)
{
    const hm_malloc_opts opts = opts_of(HM_MALLOC_THREADSAFE | HM_MALLOC_ONE_THREAD);
    expect_invalid(k, &opts, "HM_E_INVALID for HM_MALLOC_THREADSAFE with ONE_THREAD");
}

static void debug_flag(kit *k)
{
    const hm_malloc_opts opts = opts_of(HM_MALLOC_DEBUG);
    expect_invalid(k, &opts, "HM_E_INVALID for HM_MALLOC_DEBUG from the caller");
}

static void short_options(kit *k)
{
    hm_malloc_opts opts = opts_of(0);
    opts.size = 4;
    expect_invalid(k, &opts, "HM_E_INVALID for a struct too short to hold anything");
    opts.size = sizeof opts;
    opts.reserved = 1;
    expect_invalid(k, &opts, "HM_E_INVALID for a reserved member that is not 0");
}

/* A caller of a later release has a longer struct; zero there asks for nothing. One of an earlier has a shorter. */
static void other_releases(kit *k)
{
    struct {
        hm_malloc_opts opts;
        unsigned char beyond[24];
    } longer;
    hm_malloc *m = NULL;
    memset(&longer, 0, sizeof longer);
    longer.opts.size = sizeof longer;
    hm_status status = create(k, &longer.opts, &m, NULL);
    KIT_EXPECT(k, status == HM_OK, "longer options accepted where they ask for nothing",
               "%s", hm_status_name(status));
    hm_malloc_release(m);
    longer.opts.size = offsetof(hm_malloc_opts, limit);
    longer.opts.limit = 1; /* not there, by the size */
    m = NULL;
    status = create(k, &longer.opts, &m, NULL);
    KIT_EXPECT(k, status == HM_OK, "shorter options accepted", "%s",
               hm_status_name(status));
    KIT_EXPECT(k, hm_alloc(m, 100), "no limit where the options hold none", "NULL");
    hm_malloc_release(m);
}

static void out_is_null(kit *k)
{
    const uint32_t bad[] = {0x80, HM_MALLOC_THREADSAFE | HM_MALLOC_ONE_THREAD,
                            HM_MALLOC_DEBUG};
    for (size_t i = 0; i < KIT_COUNT(bad); i++) {
        const hm_malloc_opts opts = opts_of(bad[i]);
        hm_malloc *m = (hm_malloc *)k;
        const hm_status status = create(k, &opts, &m, NULL);
        KIT_EXPECT(k, status == HM_OK || !m, "*out NULL unless HM_OK",
                   "it was left alone for flags 0x%x", (unsigned)bad[i]);
    }
}

static void says_why(kit *k)
{
    const hm_malloc_opts opts = opts_of(0x80);
    hm_malloc *m = NULL;
    hm_error err = {HM_OK, 0, "", ""};
    const hm_status status = create(k, &opts, &m, &err);
    KIT_EXPECT(k, err.status == status && err.what[0] && err.where[0],
               "where and what in the error of a refusal", "\"%s\" at \"%s\"", err.what,
               err.where);
}

static const kit_clause clauses[] = {
    {"host.create.plain-offered", "every host makes a malloc without flags", KIT_MUST,
     KIT_HOST, plain_offered},
    {"host.create.every-kind", "a kind is made, or is HM_E_UNSUPPORTED", KIT_MUST,
     KIT_HOST, every_kind},
    {"host.create.null-options", "options may be NULL", KIT_MUST, KIT_HOST,
     without_options},
    {"host.create.ok-means-an-object", "HM_OK comes with an object with a whole table",
     KIT_MUST, KIT_HOST, ok_means_an_object},
    {"host.create.flags-granted", "an object has the flags that were asked for", KIT_MUST,
     KIT_HOST, grants_flags},
    {"host.create.unknown-flags-invalid", "unknown flags are HM_E_INVALID", KIT_MUST,
     KIT_HOST, unknown_flags},
    {"host.create.contradicting-flags-invalid", "contradicting flags are HM_E_INVALID",
     KIT_MUST, KIT_HOST, contradicting_flags},
    {"host.create.debug-flag-invalid", "HM_MALLOC_DEBUG is only ever set by a host",
     KIT_MUST, KIT_HOST, debug_flag},
    {"host.create.short-options-invalid", "options that cannot be are HM_E_INVALID",
     KIT_MUST, KIT_HOST, short_options},
    {"host.create.other-releases", "options are judged by their size", KIT_MUST, KIT_HOST,
     other_releases},
    {"host.create.out-null", "*out is NULL when refused", KIT_MUST, KIT_HOST,
     out_is_null},
    {"host.create.says-why", "a refusal fills the error", KIT_SHOULD, KIT_HOST, says_why},
};
const kit_group kit_create = KIT_GROUP(clauses);
