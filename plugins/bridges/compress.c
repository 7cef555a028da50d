/* SPDX-License-Identifier: MIT */
/* The compression bridge: one pair of functions per library, whose user data is the malloc itself. */
#include <hostmalloc/bridges/compress.h>

static hm_site zlib_site = {"zlib:block", NULL, 0, 0};
static hm_site bzip2_site = {"bzip2:block", NULL, 0, 0};
static hm_site xz_site = {"xz:block", NULL, 0, 0};
static hm_site brotli_site = {"brotli:block", NULL, 0, 0};
static hm_site zstd_site = {"zstd:block", NULL, 0, 0};
static hm_site lz4_site = {"lz4:block", NULL, 0, 0};

static void *take(void *m, size_t size, hm_site *site)
{
    return hm_alloc_at(m, size, HM_LEVEL_CURRENT, site);
}

static void *take_items(void *m, size_t count, size_t size, hm_site *site)
{
    return size && count > SIZE_MAX / size ? NULL : take(m, count * size, site);
}

void *hm_zlib_alloc(void *m, unsigned count, unsigned size)
{
    return take_items(m, count, size, &zlib_site);
}

void *hm_bzip2_alloc(void *m, int count, int size)
{
    return count < 0 || size < 0
               ? NULL
               : take_items(m, (size_t)count, (size_t)size, &bzip2_site);
}

void *hm_xz_alloc(void *m, size_t count, size_t size)
{
    return take_items(m, count, size, &xz_site);
}

void *hm_brotli_alloc(void *m, size_t size)
{
    return take(m, size, &brotli_site);
}

void *hm_zstd_alloc(void *m, size_t size)
{
    return take(m, size, &zstd_site);
}

void *hm_lz4_alloc(void *m, size_t size)
{
    return take(m, size, &lz4_site);
}

void *hm_lz4_alloc_zeroed(void *m, size_t size)
{
    return hm_alloc_zeroed_at(m, 1, size, HM_LEVEL_CURRENT, &lz4_site);
}

void hm_compress_free(void *m, void *block)
{
    hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, NULL);
}
